"""Checksums of the pages of a store (src/store/sqlite/checked_vfs.h), made independently of the server: for suites that change a
database behind its back and want the change itself to be found, not the checksum."""

MARK = b"AgC1"
TABLE = []
for value in range(256):
    for _ in range(8):
        value = (value >> 1) ^ 0x82F63B78 if value & 1 else value >> 1
    TABLE.append(value)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def page_size(head):
    """0 where pages have no checksums."""
    assert head[:16] == b"SQLite format 3\0"
    return (int.from_bytes(head[16:18], "big") if head[20] == 8 else 0)


def reseal(path):
    """Gives every page that was changed by another program the checksum that it should have; how many those were."""
    data = bytearray(path.read_bytes())
    size, changed = page_size(data), 0
    for at in range(0, len(data), size) if size else ():
        page = data[at:at + size]
        end = crc32c(page[:-8]).to_bytes(4, "little") + MARK
        if any(page) and page[-8:] != end:
            data[at + size - 8:at + size] = end
            changed += 1
    path.write_bytes(data)
    return changed
