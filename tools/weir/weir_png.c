/* A black and white picture in PNG (ISO/IEC 15948) without compression: a QR code has a few thousand
 * modules, and a library would be for these 100 lines only. */
#include "base_bytes.h"
#include "weir.h"

#include <errno.h>
#include <stdlib.h>

#define BLOCK_MAX 65535 /* of stored deflate */

static uint32_t crc32_add(uint32_t crc, const unsigned char *bytes, size_t len)
{
	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0xedb88320U & (0U - (crc & 1)));
	}
	return ~crc;
}

static uint32_t adler32(const unsigned char *bytes, size_t len)
{
	uint32_t a = 1;
	uint32_t b = 0;

	for (size_t i = 0; i < len; i++) {
		a = (a + bytes[i]) % 65521;
		b = (b + a) % 65521;
	}
	return b << 16 | a;
}

static void put_chunk(FILE *file, const char *type, const unsigned char *data, size_t len)
{
	unsigned char word[4];
	uint32_t crc = crc32_add(0, (const unsigned char *)type, 4);

	base_store_be32(word, (uint32_t)len);
	fwrite(word, 1, 4, file);
	fwrite(type, 1, 4, file);
	fwrite(data, 1, len, file);
	base_store_be32(word, crc32_add(crc, data, len));
	fwrite(word, 1, 4, file);
}

/* Bytes as a zlib stream of stored blocks. Caller wipes and frees; NULL without memory. */
static unsigned char *zlib_store(const unsigned char *bytes, size_t len, size_t *out_len)
{
	size_t n_blocks = len / BLOCK_MAX + 1;
	unsigned char *out = malloc(2 + n_blocks * 5 + len + 4);
	size_t at = 2;

	if (!out)
		return NULL;
	out[0] = 0x78;
	out[1] = 0x01;
	for (size_t i = 0; i < n_blocks; i++) {
		size_t from = i * BLOCK_MAX;
		size_t n = len - from < BLOCK_MAX ? len - from : BLOCK_MAX;

		out[at] = i + 1 == n_blocks;
		base_store_le16(out + at + 1, (uint16_t)n);
		base_store_le16(out + at + 3, (uint16_t)~n);
		memcpy(out + at + 5, bytes + from, n);
		at += 5 + n;
	}
	base_store_be32(out + at, adler32(bytes, len));
	*out_len = at + 4;
	return out;
}

/* One bit a pixel, each row behind its filter byte; 1 is white. */
static void draw(unsigned char *rows, size_t row_len, const unsigned char *modules, unsigned int n,
                 unsigned int scale, unsigned int margin)
{
	unsigned int side = (n + 2 * margin) * scale;

	for (unsigned int y = 0; y < side; y++) {
		unsigned char *row = rows + y * row_len;

		row[0] = 0;
		memset(row + 1, 0xff, row_len - 1);
		for (unsigned int x = 0; x < side; x++) {
			unsigned int mx = x / scale - margin; /* wraps in the margin */
			unsigned int my = y / scale - margin;

			if (mx < n && my < n && (modules[my * n + mx] & 1))
				row[1 + x / 8] &= (unsigned char)~(0x80U >> (x % 8));
		}
	}
}

int weir_png_write(FILE *file, const unsigned char *modules, unsigned int n, unsigned int scale,
                   unsigned int margin)
{
	static const unsigned char magic[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
	unsigned char header[13] = {[8] = 1}; /* 1 bit, greyscale */
	unsigned int side = (n + 2 * margin) * scale;
	size_t row_len = 1 + (side + 7) / 8;
	unsigned char *rows = malloc(row_len * side);
	unsigned char *packed = NULL;
	size_t packed_len = 0;

	if (rows) {
		draw(rows, row_len, modules, n, scale, margin);
		packed = zlib_store(rows, row_len * side, &packed_len);
		base_wipe(rows, row_len * side);
		free(rows);
	}
	if (!packed)
		return -ENOMEM;
	base_store_be32(header, side);
	base_store_be32(header + 4, side);
	fwrite(magic, 1, sizeof(magic), file);
	put_chunk(file, "IHDR", header, sizeof(header));
	put_chunk(file, "IDAT", packed, packed_len);
	put_chunk(file, "IEND", header, 0);
	base_wipe(packed, packed_len);
	free(packed);
	return fflush(file) != 0 || ferror(file) ? -EIO : 0;
}
