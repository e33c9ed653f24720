"""Kafka's wire format, driven by the message definitions that Apache Kafka's own client jar carries.

Shares nothing with Headwater's codec, so that a mistake there cannot hide here. A message is a dict by the definition's field names;
what is left out has the definition's default.
"""
import json
import pathlib
import re
import struct
import time
import uuid
import zipfile

NUMBERS = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "float64": ">d", "bool": ">?"}
# Young enough that no broker cleans it away, and the same for all that are asked.
NOW_MS = int(time.time() * 1000)
NO_UUID = str(uuid.UUID(int=0))


def within(versions, version):
    """Whether "3+", "0-4", "2" or "none" holds a version."""
    if not versions or versions == "none":
        return False
    low, _, high = versions.partition("-")
    if low.endswith("+"):
        return version >= int(low[:-1])
    return int(low) <= version <= int(high or low)


def capital(field):
    """Some names of fields begin small, most do not."""
    if "name" in field and "type" in field:
        field["name"] = field["name"][0].upper() + field["name"][1:]
    return field


class Definitions:
    """All messages of one Kafka release."""

    def __init__(self, lib):
        self.messages, self.requests = {}, {}
        (jar,) = [j for j in pathlib.Path(lib).glob("kafka-clients-*.jar") if "test" not in j.name]
        with zipfile.ZipFile(jar) as opened:
            for name in opened.namelist():
                if name.startswith("common/message/") and name.endswith(".json"):
                    text = re.sub(r"^\s*//.*$", "", opened.read(name).decode(), flags=re.M)
                    message = json.loads(text, object_hook=capital)
                    message["structs"] = {s["name"]: s["fields"] for s in message.get("commonStructs", [])}
                    self.messages[message["name"]] = message
                    if message["type"] == "request":
                        self.requests[message["apiKey"]] = message["name"].removesuffix("Request")

    def key(self, api):
        return self.messages[api + "Request"]["apiKey"]

    def versions(self, api):
        """(oldest, newest) that the definition knows."""
        low, _, high = self.messages[api + "Request"]["validVersions"].partition("-")
        return int(low), int(high or low)

    def request(self, api, version, body, correlation=1, client="same"):
        """A frame without its length."""
        message = self.messages[api + "Request"]
        flexible = within(message["flexibleVersions"], version)
        name = client.encode()
        head = struct.pack(">hhih", message["apiKey"], version, correlation, len(name)) + name + (b"\0" if flexible else b"")
        return head + Writer(message, version).fields(message["fields"], body)

    def response(self, api, version, frame):
        """(correlation id, body) of a frame; every byte must be used."""
        message = self.messages[api + "Response"]
        reader = Reader(message, version, frame)
        correlation = reader.number("int32")
        if reader.flexible and api != "ApiVersions":
            reader.tags([], {})
        body = reader.fields(message["fields"])
        assert reader.at == len(frame), f"{api} v{version}: {len(frame) - reader.at} bytes left over"
        return correlation, body


class Codec:
    def __init__(self, message, version):
        self.message, self.version = message, version
        self.flexible = within(message["flexibleVersions"], version)

    def inner(self, field):
        """The fields of a struct type, or None for a plain one."""
        kind = field["type"].removeprefix("[]")
        return field.get("fields") or self.message["structs"].get(kind)

    def split(self, fields):
        """(plain, tagged) fields that this version has."""
        there = [f for f in fields if within(f["versions"], self.version)]
        tagged = [f for f in there if within(f.get("taggedVersions"), self.version)]
        return [f for f in there if f not in tagged], sorted(tagged, key=lambda f: f["tag"])

    def default(self, field):
        given, kind = field.get("default"), field["type"]
        if given == "null":
            return None
        if kind.startswith("[]"):
            return []
        if kind in NUMBERS:
            if kind == "bool":
                return str(given).lower() == "true"
            return float(given or 0) if kind == "float64" else int(str(given or 0), 0)
        return {"string": given or "", "bytes": b"", "records": None, "uuid": NO_UUID}.get(kind, {})


class Writer(Codec):
    def fields(self, fields, body):
        plain, tagged = self.split(fields)
        unknown = set(body) - {f["name"] for f in fields}
        assert not unknown, f"{self.message['name']} has no {unknown}"
        out = b"".join(self.value(f, f["type"], body.get(f["name"], self.default(f))) for f in plain)
        if not self.flexible:
            return out
        sent = [(f["tag"], self.value(f, f["type"], body[f["name"]])) for f in tagged if f["name"] in body]
        return out + varint(len(sent)) + b"".join(varint(tag) + varint(len(data)) + data for tag, data in sent)

    def length(self, count, wide):
        """Prefix of a string (16 bits), an array or bytes (32 bits); None is null."""
        if self.flexible:
            return varint(0 if count is None else count + 1)
        return struct.pack(">i" if wide else ">h", -1 if count is None else count)

    def value(self, field, kind, value):
        if kind in NUMBERS:
            return struct.pack(NUMBERS[kind], value)
        if kind == "uuid":
            return uuid.UUID(value).bytes
        if kind.startswith("[]"):
            items = b"".join(self.value(field, kind[2:], item) for item in value or [])
            return self.length(None if value is None else len(value), True) + items
        if kind in ("string", "bytes", "records"):
            data = value.encode() if isinstance(value, str) else value
            return self.length(None if data is None else len(data), kind != "string") + (data or b"")
        if "nullableVersions" in field and not field["type"].startswith("[]"):
            return b"\xff" if value is None else b"\x01" + self.fields(self.inner(field), value)
        return self.fields(self.inner(field), value)


class Reader(Codec):
    def __init__(self, message, version, data):
        super().__init__(message, version)
        self.data, self.at = data, 0

    def take(self, count):
        assert 0 <= count <= len(self.data) - self.at, f"{self.message['name']} v{self.version}: {count} bytes wanted at {self.at}"
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, kind):
        form = NUMBERS[kind]
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def length(self, wide):
        return self.varint() - 1 if self.flexible else self.number("int32" if wide else "int16")

    def fields(self, fields):
        plain, tagged = self.split(fields)
        body = {f["name"]: self.value(f, f["type"]) for f in plain}
        if self.flexible:
            self.tags(tagged, body)
        return body

    def tags(self, tagged, body):
        known = {f["tag"]: f for f in tagged}
        body.update({f["name"]: self.default(f) for f in tagged})
        for _ in range(self.varint()):
            tag, size = self.varint(), self.varint()
            end = self.at + size
            if tag in known:
                body[known[tag]["name"]] = self.value(known[tag], known[tag]["type"])
                assert self.at == end, f"tag {tag} of {self.message['name']}"
            else:
                body[f"tag {tag}"] = self.take(size)

    def value(self, field, kind):
        if kind in NUMBERS:
            return self.number(kind)
        if kind == "uuid":
            return str(uuid.UUID(bytes=bytes(self.take(16))))
        if kind.startswith("[]"):
            count = self.length(True)
            return None if count < 0 else [self.value(field, kind[2:]) for _ in range(count)]
        if kind in ("string", "bytes", "records"):
            size = self.length(kind != "string")
            data = None if size < 0 else bytes(self.take(size))
            return data.decode() if kind == "string" and data is not None else data
        if "nullableVersions" in field and not field["type"].startswith("[]") and self.number("int8") < 0:
            return None
        return self.fields(self.inner(field))


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def record_batch(values, base=0, timestamp=NOW_MS, producer=(-1, -1, -1), attributes=0):
    """A batch of format 2: keyless records, one for each value (None: a tombstone with the key "k")."""
    records = b""
    for index, value in enumerate(values):
        body = b"\0" + zigzag(0) + zigzag(index)
        body += (zigzag(1) + b"k" + zigzag(-1)) if value is None else zigzag(-1) + zigzag(len(value)) + value
        body += zigzag(0)
        records += zigzag(len(body)) + body
    producer_id, epoch, sequence = producer
    tail = struct.pack(">hiqqqhii", attributes, len(values) - 1, timestamp, timestamp, producer_id, epoch, sequence, len(values)) + records
    return struct.pack(">qiibI", base, 9 + len(tail), 0, 2, crc32c(tail)) + tail


def zigzag(value):
    return varint((value << 1) ^ (value >> 63) if value < 0 else value << 1)


def crc32c(data, table=[]):
    if not table:
        for byte in range(256):
            for _ in range(8):
                byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
            table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
