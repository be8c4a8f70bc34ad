"""A table as it was read: header and cells, with the line that each row came from, and expressions over its columns."""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import operator
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling.errors import FileError, InputError, brief, nearest, option_text, together
from bayes_scaling.files import require_readable
from bayes_scaling.grammar import parsed

_LISTED = 3  # further lines that a message names


@dataclass(frozen=True, eq=False)
class Table:
    """Cells by column name, shape (rows,) each.

    Attributes
    ----------
    lines : line of the file (or number of the row, where the table is no file's) of each row
    notes : what a reader should know about how it was read
    unique : a column whose labels must not repeat among rows that are fitted together: what the rows are of (a run, a model)
    choices : columns to choose among until they do not
    """

    columns: dict[str, np.ndarray]
    lines: np.ndarray
    source: str
    notes: tuple[str, ...] = ()
    unique: str = ""
    choices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)

    def numbers(self, name: str) -> np.ndarray:
        """Return a column as 64-bit floats, NaN for empty cells.

        Raises
        ------
        InputError
            If a cell is not a number; the message names the line and the text.
        """
        cells = self.columns[name]
        if cells.dtype.kind in "fiub":
            return cells.astype(float)
        if cells.dtype.kind not in "USO":  # numpy would make numbers of dates, and drop the imaginary part of others
            raise InputError(f"{self.source}: line {self.lines[0]}, column '{name}': '{cells[0]}' is not a number but {cells.dtype.name}")
        try:
            if cells.dtype.kind == "U" and np.any(np.strings.find(cells, "_") >= 0):  # Python reads 1_000 as a number; a table should not
                raise ValueError
            return cells.astype(float)
        except (ValueError, TypeError):
            return self._read_cells(name, [str(cell).strip() for cell in cells])

    def measured(self, name: str) -> np.ndarray:
        """Return the numbers of a column that is to be a quantity: as `numbers`, but true and false are none."""
        cells = self.columns[name]
        booleans = np.array([isinstance(cell, (bool, np.bool_)) for cell in cells]) if cells.dtype.kind in "bO" else np.zeros(0, bool)
        if booleans.any():
            row = int(np.flatnonzero(booleans)[0])
            others = _others(self.lines[np.flatnonzero(booleans)[1:]])
            where = f"{self.source}: line {self.lines[row]}, column '{name}'"
            raise InputError(f"{where}: '{cells[row]}' is not a number{others} but true or false")
        return self.numbers(name)

    def all_measured(self, columns: Mapping[str, str]) -> dict[str, np.ndarray]:
        """Return the numbers of columns by quantity, as `measured`; what is wrong with several is one error."""
        found, wrong = {}, []
        for name, column in columns.items():
            try:
                found[name] = self.measured(column)
            except InputError as error:
                wrong.append(str(error))
        if wrong:
            raise InputError(together(wrong, self.source))
        return found

    def _read_cells(self, name: str, cells: Sequence[str]) -> np.ndarray:
        """Return cells as numbers; what is none is one error, by what should be written instead."""
        values = np.full(len(cells), np.nan)
        wrong: dict[str, list[int]] = {}
        for row, cell in enumerate(cells):
            try:
                if "_" in cell:
                    raise ValueError
                values[row] = float(cell) if cell else np.nan
            except ValueError:
                wrong.setdefault(_hint(cell), []).append(row)
        if wrong:
            raise InputError(
                together(
                    (
                        f"{self.source}: line {self.lines[rows[0]]}, column '{brief(name)}': '{brief(cells[rows[0]], 40)}' is not a number"
                        f"{_others(self.lines[rows[1:]])}; write {hint}"
                        for hint, rows in wrong.items()
                    ),
                    self.source,
                )
            )
        return values

    def texts(self, name: str) -> list[str]:
        """Return the cells of a column as text, without spaces around it; empty where there is no value."""
        return [str(cell).strip() for cell in self.columns[name].tolist()]

    def select(self, keep: np.ndarray) -> Table:
        """Return the rows at an index or boolean array."""
        return replace(self, columns={name: cells[keep] for name, cells in self.columns.items()}, lines=self.lines[keep])

    def duplicates(self, keep: np.ndarray) -> list[tuple[int, int]]:
        """Return (first row, repeating row) for rows to keep that are equal in every column."""
        seen: dict[tuple, int] = {}
        pairs = []
        cells = list(self.columns.values())
        for row in np.flatnonzero(keep):
            key = tuple(column[row] for column in cells)
            if key in seen:
                pairs.append((seen[key], int(row)))
            else:
                seen[key] = int(row)
        return pairs

    def where(self, expression: str) -> np.ndarray:
        """Evaluate a condition such as ``flops<1e21 and split == 'context'`` to booleans of shape (rows,).

        Raises
        ------
        InputError
            If it is not a condition over the table's columns, numbers and quoted text.
        """
        said = brief(expression)
        result, _ = self._read(expression, f"cannot read the condition '{said}'; write it as \"flops<1e21 and split == 'context'\"")
        if not (isinstance(result, np.ndarray) and result.dtype == bool):
            raise InputError(f"the condition '{said}' is not a comparison; write it as \"flops<1e21\"")
        return result

    def compute(self, expression: str) -> np.ndarray:
        """Evaluate arithmetic over columns, such as ``step * batch_tokens`` or ```batch size` * 2048``, to floats of shape (rows,).

        Raises
        ------
        InputError
            If it is no such arithmetic, or a cell is not a number.
        """
        said = brief(expression)
        result, table = self._read(expression, f"'{said}' is neither a column of {self.source} nor arithmetic over its columns")
        if isinstance(result, str) or (isinstance(result, np.ndarray) and result.dtype == bool):
            raise InputError(f"'{said}' is no number; write arithmetic over columns, such as step * batch_tokens")
        return np.broadcast_to(np.asarray(_as_number(result, table, said), float), len(self)).copy()

    def named_in(self, expression: str) -> set[str]:
        """Return the columns that arithmetic over columns takes; none of a text that only looks like it, such as ``train/loss (ema)``."""
        try:
            tree = parsed(self._named(expression)[0])
        except ValueError:
            return set()
        words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        return {name for name in self.columns if name in words or f"`{name}`" in expression}

    def _read(self, expression: str, refusal: str) -> tuple[Any, Table]:
        """Return the value of an expression, and the table that its names are of; InputError with the refusal if it is none."""
        text, table = self._named(expression)
        try:
            tree = parsed(text)
        except ValueError:
            raise InputError(refusal) from None
        return _evaluate(tree, table, brief(expression)), table

    def _named(self, expression: str) -> tuple[str, Table]:
        """Return an expression and a table in which columns that are in backquotes have names that Python's grammar takes."""
        said = brief(expression)
        quoted = list(dict.fromkeys(re.findall("`([^`]+)`", expression)))
        for name in quoted:
            if name not in self.columns:
                raise InputError(f"'{said}' names '{name}', which is no column of {self.source}{nearest(name, self.columns)}")
        alias = {name: f"_column_{place}" for place, name in enumerate(quoted)}
        text = re.sub("`([^`]+)`", lambda found: alias[found[1]], expression)
        return text, replace(self, columns={**self.columns, **{other: self.columns[name] for name, other in alias.items()}})


_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip


def _evaluate(node: ast.AST, table: Table, text: str) -> Any:
    """Walk a small, closed part of Python's grammar; anything else is refused, so nothing is ever executed."""
    if isinstance(node, ast.BoolOp):
        parts = [_truth(value, table, text) for value in node.values]
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return join.reduce(parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return np.logical_not(_truth(node.operand, table, text))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_as_number(_evaluate(node.operand, table, text), table, text)
    if isinstance(node, ast.Compare):
        operands = [_evaluate(value, table, text) for value in (node.left, *node.comparators)]
        results = []
        for op, left, right in zip(node.ops, operands[:-1], operands[1:], strict=True):
            if type(op) not in _COMPARE:
                break
            if isinstance(left, str) or isinstance(right, str):
                if not isinstance(op, (ast.Eq, ast.NotEq)):
                    raise InputError(f"the condition '{text}' puts text in order; text can only be == or !=, and numbers go without quotes")
                left, right = _as_text(left, table), _as_text(right, table)
            else:
                left, right = _as_number(left, table, text), _as_number(right, table, text)
            results.append(np.broadcast_to(_COMPARE[type(op)](left, right), len(table)))
        else:
            return np.logical_and.reduce(results)
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        with np.errstate(all="ignore"):
            left, right = (_as_number(_evaluate(side, table, text), table, text) for side in (node.left, node.right))
            return _ARITHMETIC[type(node.op)](left, right)
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
        return node.value if isinstance(node.value, str) else _constant(node.value, text)
    if isinstance(node, ast.Name):
        if node.id not in table.columns:
            known = (name for name in table.columns if not name.startswith("_column_"))
            raise InputError(f"the condition '{text}' names '{node.id}', which is no column of {table.source}{nearest(node.id, known)}")
        return node
    raise InputError(f"cannot read '{brief(ast.unparse(node))}' in the condition '{text}'; use columns, numbers, quoted text, and/or/not")


def _truth(node: ast.AST, table: Table, text: str) -> np.ndarray:
    """Evaluate a part that must be true or false of each row."""
    value = _evaluate(node, table, text)
    if not (isinstance(value, np.ndarray) and value.dtype == bool):
        raise InputError(f"'{brief(ast.unparse(node))}' in the condition '{text}' is not a comparison; write it as \"flag == 1\"")
    return value


def _constant(value: float, text: str) -> np.float64:
    """Return a number as numpy has it, which divides by zero without a word; Python's whole numbers have no end."""
    try:
        return np.float64(value)
    except OverflowError:
        raise InputError(f"the condition '{text}' has a number that is too large for 64 bits") from None


def _hint(cell: str) -> str:
    """Say what to write instead of a cell that is no number."""
    if cell[0] not in "[{(" and ("," in cell or "_" in cell or "'" in cell):
        return "numbers without thousands separators and with a decimal point"
    if cell[-1] in "%kKMBTG":
        return f"plain numbers, such as 1.5e9, and declare their unit with {option_text(units=None)}"
    if cell.strip("-.?").lower() in ("", "na", "n/a", "n.a", "none", "null", "missing"):
        return "nothing in a cell without a value"
    return "plain numbers, such as 1.5e9"


def _others(lines: np.ndarray) -> str:
    """Say in which further lines the cell is wrong as well: the first of them, and how many."""
    if not len(lines):
        return ""
    more = f" and {len(lines) - _LISTED} more" if len(lines) > _LISTED else ""
    return f" (also line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines[:_LISTED]))}{more})"


def _as_number(value: Any, table: Table, text: str) -> Any:
    if isinstance(value, str):
        raise InputError(f"'{brief(value)}' in the condition '{text}' is text, not a number; numbers go without quotes")
    if isinstance(value, ast.Name):
        return table.numbers(value.id)
    return value.astype(float) if isinstance(value, np.ndarray) and value.dtype == bool else value


def _as_text(value: Any, table: Table) -> Any:
    return np.array(table.texts(value.id)) if isinstance(value, ast.Name) else str(value)


def read_table(path: str | Path) -> tuple[Table, str]:
    """Read a file of comma-separated values, of tabs (``.tsv``, ``.tab``), or Parquet; return the table and the sha256 of the file.

    Raises
    ------
    FileError
        If the file cannot be opened, or is no text.
    InputError
        If it is empty, has no rows, repeats a column name, or has a row of the wrong length.
    """
    path = require_readable(path, "a CSV file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read '{path}': {error.strerror}") from None
    digest = hashlib.sha256(content).hexdigest()
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path), digest
    for begins, kind, remedy in _NO_TEXT:
        if content.startswith(begins):
            raise FileError(f"'{path}' is {kind}, not CSV; {remedy}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"'{path}' is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8") from None
    if "\0" in text:
        raise FileError(f"'{path}' holds NUL bytes: it is not a CSV file; save it as CSV in UTF-8")
    if text.lstrip()[:1] in ("<", "{", "["):
        kind = "a web page or XML" if text.lstrip()[:1] == "<" else "JSON"
        raise FileError(f"'{path}' is {kind}, not CSV; is it what you meant to download? A header line and one row a run are needed")
    return _parse_csv(text, str(path), "\t" if path.suffix.lower() in (".tsv", ".tab") else ","), digest


#: What files begin with that are often taken for tables, and what to do about it.
_NO_TEXT = (
    (b"PK\x03\x04", "a spreadsheet or an archive", "open it and save the table as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet", "open it and save the table as CSV"),
    (b"\x1f\x8b", "compressed", "unpack it first"),
    (b"BZh", "compressed", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed", "unpack it first"),
    (b"\xfd7zXZ", "compressed", "unpack it first"),
    (b"\x89HDF", "NetCDF or HDF5", "give a table of runs; a stored fit goes to predict, allocate and the like"),
    (b"PAR1", "Parquet", "let its name end with .parquet"),
    (b"%PDF", "a PDF", "give the table as CSV"),
    (b"\xff\xfe", "text in UTF-16", "save it as CSV in UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as CSV in UTF-8"),
)


def _parse_csv(text: str, source: str, separator: str) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    lines, rows, header = [], [], None
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue  # a blank line
            if header is None:
                header = [name.strip() for name in row]
                _refuse_header(header, separator, source)
                continue
            if len(row) != len(header):
                what = f"line {reader.line_num} has {len(row)} cells, the header has {len(header)}"
                raise InputError(f"{source}: {what}; quote cells that hold commas")
            lines.append(reader.line_num)
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{source}: line {reader.line_num}: {error}; is a quotation mark left open before it?") from None
    if header is None:
        raise InputError(f"{source} is empty; a CSV file with a header line and one row a run is needed")
    if not rows:
        raise InputError(f"{source} has a header but no rows; one row a run is needed")
    return Table({name: np.array(cells) for name, cells in zip(header, zip(*rows, strict=True), strict=True)}, np.array(lines), source)


def _refuse_header(header: list[str], separator: str, source: str) -> None:
    if len(header) == 1 and separator == "," and ("\t" in header[0] or ";" in header[0]):
        remedy = "name the file .tsv" if "\t" in header[0] else "save it with commas"
        kind = "tabs" if "\t" in header[0] else "semicolons"
        raise InputError(f"{source}: the header has {kind} and no comma: is another separator used? Then {remedy}")
    repeated = {name: count for name, count in Counter(header).items() if count > 1}
    if repeated:
        name = min(repeated)
        raise InputError(f"{source}: the column name '{name}' appears {repeated[name]} times; rename one")


def _read_parquet(path: Path) -> Table:
    try:
        import pandas

        return table_from_dataframe(pandas.read_parquet(path), str(path))
    except ImportError:
        raise FileError(f"reading '{path}' needs pyarrow: pip install 'bayes-scaling[parquet]'") from None
    except (InputError, MemoryError):
        raise
    except Exception as error:  # pyarrow and pandas raise many kinds for a file that is damaged
        what = str(error) if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {error}"
        raise FileError(f"cannot read '{path}' as Parquet: {(what.splitlines() or ['no reason given'])[0]}") from None


def is_frame(source: Any) -> bool:
    """Whether something is a table of columns that can be asked for by name: a frame of pandas or polars, a table of pyarrow."""
    return not isinstance(source, (str, Path)) and (hasattr(type(source), "columns") or hasattr(type(source), "column_names"))


def table_from_dataframe(frame: Any, source: str = "DataFrame") -> Table:
    """Take the columns of a pandas or polars DataFrame, or of a pyarrow Table; rows are numbered from 1.

    Columns are taken one by one through numpy, which all of these offer: none of the libraries is needed for the others' frames.

    Raises
    ------
    InputError
        If column names repeat, or the frame is a plan that has not been carried out.
    """
    if not hasattr(frame, "__len__"):
        raise InputError(f"a {type(frame).__name__} has no rows yet: collect it first, as frame.collect()")
    names = list(getattr(frame, "column_names", None) or frame.columns)
    columns = {str(name): _cells(frame[name]) for name in names}
    if len(columns) != len(names):
        raise InputError(f"{source}: column names are not unique")
    if not len(frame):
        raise InputError(f"{source} has no rows")
    return Table(columns, np.arange(1, len(frame) + 1), source)


def _cells(column: Any) -> np.ndarray:
    """Return a column's values: numbers as they are, anything else as objects with empty text where there is no value.

    Lists and the like become text: they are no quantities, and stand for themselves only in telling rows apart.
    """
    values = np.asarray(column)
    if values.ndim == 1 and values.dtype.kind != "O":
        return values
    plain = [cell if isinstance(cell, Hashable) else str(cell.tolist() if isinstance(cell, np.ndarray) else cell) for cell in values]
    values = np.empty(len(plain), object)
    values[:] = plain
    # None, NaN and pandas' NA are what libraries put where there is nothing; only they are not equal to themselves, or are None.
    absent = np.array([cell is None or type(cell).__name__ in ("NAType", "NaTType") or cell != cell for cell in values], bool)
    return np.where(absent, "", values) if absent.any() else values
