/* Blocks: type, length, body, options, length again; all in units of four bytes. */
#include "watch_pcapng.h"

#include "base_bytes.h"

#include <string.h>

#define BLOCK_SECTION    0x0a0d0d0aU
#define BLOCK_INTERFACE  1U
#define BLOCK_STATISTICS 5U
#define BLOCK_PACKET     6U
#define BYTE_ORDER_MAGIC 0x1a2b3c4dU
#define LINKTYPE_RAW     101U

#define OPT_END      0U
#define OPT_COMMENT  1U
#define SHB_USERAPPL 4U
#define IF_NAME      2U
#define IF_TSRESOL   9U
#define EPB_FLAGS    2U
#define ISB_IFRECV   4U
#define ISB_IFDROP   5U
#define TSRESOL_NS   9U /* 10^-9 s */
#define TEXT_MAX     100U

/* A block that grows. */
struct block {
	uint8_t *out;
	size_t len;
};

static void put_u16(struct block *block, uint16_t value)
{
	base_store_le16(block->out + block->len, value);
	block->len += sizeof(value);
}

static void put_u32(struct block *block, uint32_t value)
{
	base_store_le32(block->out + block->len, value);
	block->len += sizeof(value);
}

static void put_u64(struct block *block, uint64_t value)
{
	base_store_le64(block->out + block->len, value);
	block->len += sizeof(value);
}

/* Bytes, and zeros up to a multiple of four. */
static void put_bytes(struct block *block, const void *bytes, size_t len)
{
	memcpy(block->out + block->len, bytes, len);
	block->len += len;
	while (block->len % 4 != 0)
		block->out[block->len++] = 0;
}

/* Timestamps are two words, the upper first. */
static void put_time(struct block *block, uint64_t wall_ns)
{
	put_u32(block, (uint32_t)(wall_ns >> 32));
	put_u32(block, (uint32_t)wall_ns);
}

static void put_option(struct block *block, uint16_t code, const void *value, size_t len)
{
	put_u16(block, code);
	put_u16(block, (uint16_t)len);
	put_bytes(block, value, len);
}

static void put_text(struct block *block, uint16_t code, const char *text, size_t max)
{
	size_t len = strnlen(text, max);

	if (len > 0)
		put_option(block, code, text, len);
}

static void put_option_u64(struct block *block, uint16_t code, uint64_t value)
{
	put_u16(block, code);
	put_u16(block, sizeof(value));
	put_u64(block, value);
}

static struct block begin(uint8_t *out, uint32_t type)
{
	struct block block = {.out = out};

	put_u32(&block, type);
	put_u32(&block, 0); /* end() */
	return block;
}

/* Behind the last option. */
static size_t end(struct block *block)
{
	put_u16(block, OPT_END);
	put_u16(block, 0);
	base_store_le32(block->out + 4, (uint32_t)block->len + 4);
	put_u32(block, (uint32_t)block->len + 4);
	return block->len;
}

static size_t section(uint8_t *out, const char *program)
{
	struct block block = begin(out, BLOCK_SECTION);

	put_u32(&block, BYTE_ORDER_MAGIC);
	put_u16(&block, 1);
	put_u16(&block, 0);
	put_u64(&block, UINT64_MAX); /* length of the section: not known */
	put_text(&block, SHB_USERAPPL, program, TEXT_MAX);
	return end(&block);
}

static size_t interface_block(uint8_t *out, const char *interface, uint32_t snaplen)
{
	struct block block = begin(out, BLOCK_INTERFACE);
	const uint8_t resolution = TSRESOL_NS;

	put_u16(&block, LINKTYPE_RAW);
	put_u16(&block, 0);
	put_u32(&block, snaplen);
	put_text(&block, IF_NAME, interface, TEXT_MAX);
	put_option(&block, IF_TSRESOL, &resolution, sizeof(resolution));
	return end(&block);
}

size_t watch_pcapng_begin(uint8_t *out, const char *program, const char *interface,
                          uint32_t snaplen)
{
	size_t len = section(out, program);

	return len + interface_block(out + len, interface, snaplen);
}

size_t watch_pcapng_packet(uint8_t *out, const struct watch_pcapng_packet *packet)
{
	struct block block = begin(out, BLOCK_PACKET);

	put_u32(&block, 0); /* interface */
	put_time(&block, packet->wall_ns);
	put_u32(&block, packet->kept);
	put_u32(&block, packet->len);
	put_bytes(&block, packet->bytes, packet->kept);
	if (packet->way != WATCH_PCAPNG_UNKNOWN) {
		put_u16(&block, EPB_FLAGS);
		put_u16(&block, sizeof(uint32_t));
		put_u32(&block, packet->way);
	}
	if (packet->comment)
		put_text(&block, OPT_COMMENT, packet->comment, WATCH_PCAPNG_COMMENT_MAX);
	return end(&block);
}

size_t watch_pcapng_end(uint8_t *out, uint64_t wall_ns, uint64_t n_received, uint64_t n_lost)
{
	struct block block = begin(out, BLOCK_STATISTICS);

	put_u32(&block, 0); /* interface */
	put_time(&block, wall_ns);
	put_option_u64(&block, ISB_IFRECV, n_received);
	put_option_u64(&block, ISB_IFDROP, n_lost);
	return end(&block);
}
