"""Reads a pcapng file by the draft's text alone, and believes nothing: every length is checked twice."""
import struct


def blocks(data):
    """[(type, body)] of one little-endian section."""
    at, out = 0, []
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        assert length % 4 == 0 and length >= 12 and at + length <= len(data), (kind, length, at)
        assert struct.unpack_from("<I", data, at + length - 4)[0] == length, "lengths disagree"
        out.append((kind, data[at + 8:at + length - 4]))
        at += length
    return out


def options(data):
    """{code: [value]}; the list must end."""
    at, out = 0, {}
    while True:
        code, length = struct.unpack_from("<HH", data, at)
        at += 4
        if code == 0:
            assert length == 0 and at == len(data), "options do not end at the block's end"
            return out
        out.setdefault(code, []).append(data[at:at + length])
        assert not any(data[at + length:at + (length + 3) // 4 * 4]), "padding is not zero"
        at += (length + 3) // 4 * 4


def packet(body):
    interface, high, low, kept, length = struct.unpack_from("<IIIII", body)
    assert interface == 0 and kept <= length
    opts = options(body[20 + (kept + 3) // 4 * 4:])
    return {"ns": high << 32 | low, "data": body[20:20 + kept], "len": length,
            "way": {1: "in", 2: "out"}[struct.unpack("<I", opts[2][0])[0] & 3],
            "comment": opts.get(1, [b""])[0].decode()}


def read(data):
    """(interface, packets, statistics or None)"""
    all_blocks = blocks(data)
    kind, body = all_blocks[0]
    assert kind == 0x0A0D0D0A and struct.unpack_from("<IHHQ", body) == (0x1A2B3C4D, 1, 0, 2**64 - 1)
    assert options(body[16:])[4][0].startswith(b"weir "), body
    kind, body = all_blocks[1]
    link, reserved, snaplen = struct.unpack_from("<HHI", body)
    assert kind == 1 and reserved == 0
    opts = options(body[8:])
    assert opts[9] == [b"\x09"], "nanoseconds"
    interface = {"link": link, "snaplen": snaplen, "name": opts[2][0].decode()}
    packets = [packet(body) for kind, body in all_blocks[2:] if kind == 6]
    statistics = None
    for kind, body in all_blocks[2:]:
        assert kind in (5, 6), kind
        if kind == 5:
            opts = options(body[12:])
            statistics = {"received": struct.unpack("<Q", opts[4][0])[0],
                          "dropped": struct.unpack("<Q", opts[5][0])[0]}
    return interface, packets, statistics
