"""Reads the SQL cases (crates/engine/tests/sql/cases) and asks PostgreSQL or DuckDB what they give."""
import datetime
import decimal
import json
import re

from conftest import ROOT

CASES = ROOT / "crates/engine/tests/sql/cases"


class Case:
    def __init__(self, file, line, head, sql, expect):
        self.file, self.line, self.head, self.sql, self.expect = file, line, head, sql, expect


class Group:
    def __init__(self):
        self.statements, self.inputs, self.cases = [], [], []


def read(path):
    """The groups of a file."""
    groups, lines, at = [Group()], path.read_text().splitlines(), 0
    while at < len(lines):
        if not lines[at].strip() or lines[at].startswith("#"):
            at += 1
            continue
        first = at
        while at < len(lines) and lines[at].strip():
            at += 1
        head, body = lines[first].split(), lines[first + 1:at]
        if head[0] == "reset":
            groups.append(Group())
        elif head[0] == "include":
            for other in read(path.with_name(head[1])):
                groups[-1].statements += other.statements
                groups[-1].inputs += other.inputs
        elif head == ["statement", "ok"]:
            sql = "\n".join(body)
            (groups[-1].inputs if re.match(r"\s*(INSERT|DELETE)", sql, re.I) else groups[-1].statements).append(sql)
        elif head[0] == "query":
            cut = body.index("----")
            rows = body[cut + 1:]
            rows = rows[:rows.index("---- changelog")] if "---- changelog" in rows else rows
            groups[-1].cases.append(Case(path.name, first + 1, lines[first], "\n".join(body[:cut]), rows))
    return groups


def split(text, separator=","):
    """Pieces of a text outside of parentheses, brackets and quotes."""
    out, depth, quoted, start = [], 0, False, 0
    for at, char in enumerate(text):
        if char == "'":
            quoted = not quoted
        elif not quoted and char in "([{<":
            depth += 1
        elif not quoted and char in ")]}>":
            depth -= 1
        elif not quoted and depth == 0 and char == separator:
            out.append(text[start:at])
            start = at + 1
    return out + [text[start:]]


def parenthesised(text, at):
    """What is between the parenthesis that opens at `at` and its end, and where it ends."""
    depth, quoted = 0, False
    for end in range(at, len(text)):
        if text[end] == "'":
            quoted = not quoted
        elif not quoted and text[end] == "(":
            depth += 1
        elif not quoted and text[end] == ")":
            depth -= 1
            if depth == 0:
                return text[at + 1:end], end + 1
    raise ValueError(text[at:at + 60])


class Oracle:
    """What both databases need told in the same way. `duck` says which one it is."""

    def __init__(self, run, duck):
        self.run, self.duck, self.keys, self.columns = run, duck, {}, {}

    def statement(self, sql):
        create = re.match(r"\s*CREATE\s+(SOURCE|TABLE)\s+(\w+)\s*\(", sql, re.I)
        if not create:
            sql = re.sub(r"^(\s*CREATE)\s+MATERIALIZED", r"\1", sql, flags=re.I)
            head, query = re.match(r"(\s*CREATE VIEW \w+)(?:\s+WITH \(.*?\))?\s+AS\s(.*)", sql, re.I | re.S).groups()
            return self.run(f"{head} AS {self.query(query)}")
        inside, _ = parenthesised(sql, create.end() - 1)
        kept = []
        for column in split(inside):
            if re.match(r"\s*WATERMARK\b", column, re.I):
                continue
            computed = re.match(r"(\s*\w+\s+.*?)\s+AS\s+(.*)", column, re.I | re.S)
            kept.append(f"{computed[1]} GENERATED ALWAYS AS ({computed[2]}) {'' if self.duck else 'STORED'}" if computed else column)
        name = create[2]
        self.columns[name] = [c.split()[0] for c in kept if not re.match(r"\s*PRIMARY KEY", c, re.I) and "GENERATED" not in c]
        key = re.search(r"PRIMARY KEY\s*\(([^)]*)\)", inside, re.I)
        self.keys[name] = [c.strip() for c in key[1].split(",")] if key else [c.split()[0] for c in kept if re.search(r"PRIMARY KEY", c, re.I)]
        text = ", ".join(kept)
        if not self.duck:
            text = re.sub(r"\bDOUBLE\b(?! PRECISION)", "DOUBLE PRECISION", text, flags=re.I)
        # Keys are looked after here: DuckDB forbids to insert a key in the transaction that deleted it.
        text = re.sub(r",?\s*PRIMARY KEY\s*\([^)]*\)|\s*PRIMARY KEY", "", text, flags=re.I)
        self.run(f"CREATE TABLE {name} ({text})")

    def input(self, sql):
        insert = re.match(r"\s*INSERT INTO\s+(\w+)\s*(\([^)]*\))?\s*VALUES\s*(.*)", sql, re.I | re.S)
        if not insert:
            return self.run(sql)
        name, columns, rows = insert.groups()
        named = [c.strip() for c in columns.strip("()").split(",")] if columns else self.columns[name]
        target = f"{name} ({', '.join(named)})"
        for row in split(rows.rstrip().rstrip(";")):
            values = split(row.strip()[1:-1])
            key = [f"{column} = {values[named.index(column)]}" for column in self.keys[name]]
            if key:
                self.run(f"DELETE FROM {name} WHERE {' AND '.join(key)}")
            self.run(f"INSERT INTO {target} VALUES {row}")

    def query(self, sql):
        """The query with windows written out."""
        sql = re.sub(r"\s+EMIT\s+(CHANGES|ON WINDOW CLOSE)\s*$", "", sql.strip())
        while found := re.search(r"\b(TUMBLE|HOP)\s*\(", sql):
            inside, end = parenthesised(sql, found.end() - 1)
            relation, time, *sizes = [part.strip() for part in split(inside)]
            if relation.startswith("("):
                relation += " AS r"
            slide, size = (sizes[0], sizes[0]) if found[1] == "TUMBLE" else sizes[:2]
            offset = sizes[1 if found[1] == "TUMBLE" else 2:]
            origin = f"TIMESTAMPTZ '2000-01-03 00:00:00Z'{' + ' + offset[0] if offset else ''}"
            bucket = f"time_bucket({slide}, {time}, {origin})" if self.duck else f"date_bin({slide}, {time}, {origin})"
            seconds = f"(epoch({size}) / epoch({slide}))" if self.duck else f"(extract(epoch FROM {size}) / extract(epoch FROM {slide}))"
            starts = f"generate_series(0, CAST(ceil({seconds}) AS INT) - 1)"
            if self.duck:
                starts = f"(SELECT unnest({starts}) AS k) AS starts"
            else:
                starts += " AS starts (k)"
            windows = (f"(SELECT wx.*, {bucket} - starts.k * ({slide}) AS window_start, {bucket} - starts.k * ({slide}) + {size} AS window_end FROM "
                       f"{relation if not relation.startswith('(') else relation} AS wx, {starts} WHERE {time} IS NOT NULL "
                       f"AND {bucket} - starts.k * ({slide}) + {size} > {time})")
            windows = windows.replace(" AS r AS wx", " AS wx")
            alias = re.match(r"\s+(AS\s+)?(?!WHERE|GROUP|JOIN|LEFT|RIGHT|FULL|INNER|CROSS|ORDER|HAVING|ON|UNION|LIMIT|EMIT|EXCEPT|INTERSECT|WINDOW|QUALIFY|AS\b)(\w+)",
                             sql[end:], re.I)
            sql = sql[:found.start()] + windows + ("" if alias else " AS w" + str(found.start())) + sql[end:]
        return sql


def text(value):
    """A value as the files write it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        if value.tzinfo:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
            return stamp(value) + "Z"
        return stamp(value)
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=plain, separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, (bytes, memoryview)):
        import base64
        return base64.b64encode(bytes(value)).decode()
    if value == "":
        return "(empty)"
    return str(value).replace("\n", "\\n").replace("|", "\\p")


def stamp(value):
    out = value.strftime("%Y-%m-%dT%H:%M:%S")
    micros = value.microsecond
    if micros == 0:
        return out
    return out + (f".{micros // 1000:03}" if micros % 1000 == 0 else f".{micros:06}")


def plain(value):
    if isinstance(value, decimal.Decimal):
        return float(value)
    return text(value)


def same(a, b):
    # A time without a zone is told in UTC.
    if a == b or (a.endswith("Z") and a[:-1] == b):
        return True
    try:
        x, y = decimal.Decimal(a), decimal.Decimal(b)
    except decimal.InvalidOperation:
        return as_json(a) is not None and as_json(a) == as_json(b)
    if x.is_nan() or y.is_nan():
        return x.is_nan() and y.is_nan()
    return x == y or abs(x - y) <= abs(max(x, y, key=abs)) * decimal.Decimal("1e-9")


def as_json(text):
    try:
        return json.loads(text) if text[:1] in "[{" else None
    except ValueError:
        return None


def differences(expect, got):
    """Rows of either side that the other has not."""
    left, missing = [row.split("|") for row in got], []
    for row in expect:
        cells = row.split("|")
        at = next((i for i, other in enumerate(left) if len(other) == len(cells) and all(map(same, cells, other))), None)
        if at is None:
            missing.append(row)
        else:
            left.pop(at)
    return missing, ["|".join(row) for row in left]
