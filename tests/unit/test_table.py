import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.table import read_table


@pytest.fixture
def write(tmp_path):
    def write(text, name="runs.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("params,tokens,loss\n", "header but no rows"),
        ("params;tokens;loss\n", "another separator"),
        ("params,tokens,loss\n1e9,2e10\n", "line 2 has 2 cells, the header has 3"),
        ("params,params,loss\n1,2,3\n", "'params' appears 2 times"),
        (b"params,loss\n\xff\xfe,1\n", "not UTF-8"),
        (b"params,loss\n\x00,1\n", "NUL"),
        ("params,tokens,loss\n1e9,2e10,abc\n", "line 2, column 'loss': 'abc' is not a number"),
        ('params,tokens,loss\n"1,000,000",2e10,3\n', "without thousands separators"),
        ("params,tokens,loss\n1_000_000,2e10,3\n", "'1_000_000' is not a number"),
    ],
)
def test_files_that_are_no_tables_are_refused_with_the_reason(write, text, message):
    with pytest.raises(bs.BayesScalingError, match=message.replace("(", r"\(")):
        bs.read_runs(write(text))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(bs.FileError, match="no file"):
        bs.read_runs(tmp_path / "none.csv")
    with pytest.raises(bs.FileError, match="is a folder"):
        bs.read_runs(tmp_path)


def test_byte_order_mark_quotes_and_blank_lines_are_read(write):
    table, _ = read_table(write(b'\xef\xbb\xbfparams,"tokens",loss\n\n1e9,2e10,2.5\r\n\n2e9,2e10,2.4\n'))
    assert list(table.columns) == ["params", "tokens", "loss"]
    assert table.lines.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("flops<1e21", [True, False, True]),
        ("flops < 1e21 and split == 'context'", [True, False, False]),
        ("flops >= 1e21 or split != 'context'", [False, True, True]),
        ("not flops<1e21", [False, True, False]),
        ("1e20 <= flops < 1e22", [False, True, True]),
        ("flops/2 > 1e20 - 1", [False, True, True]),
        ("-flops < -1e21", [False, True, False]),
    ],
)
def test_conditions(write, condition, kept):
    table, _ = read_table(write("flops,split\n1e19,context\n5e21,context\n3e20,target\n"))
    assert table.where(condition).tolist() == kept


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("flop<1e21", "did you mean 'flops'"),
        ("flops", "not a comparison"),
        ("flops <", "cannot read the condition"),
        ("__import__('os').system('true') == 0", "cannot read"),
        ("flops.size > 0", "cannot read"),
        ("[x for x in (1,)] == 1", "cannot read"),
        ("split < 3", "'context' is not a number"),
        ("split < 'd'", "text can only be == or !="),
        ("flops and flops<1e21", "'flops' in the condition .* is not a comparison"),
        ("not flops", "is not a comparison"),
    ],
)
def test_conditions_that_are_refused(write, condition, message):
    table, _ = read_table(write("flops,split\n1e19,context\n"))
    with pytest.raises(bs.InputError, match=message):
        table.where(condition)


def test_numbers_keep_every_digit(write):
    table, _ = read_table(write("x\n0.1234567890123456\n1e-300\n"))
    assert np.array_equal(table.numbers("x"), [0.1234567890123456, 1e-300])
