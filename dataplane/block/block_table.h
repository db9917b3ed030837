/* The compiled drop lists: which sources nothing is taken from. A flat blob without pointers that
 * control builds (block_build.h), that lies in a sealed memfd, and that any number of workers read.
 *
 * One look-up answers for all scopes: its result is a set of them. Prefixes may overlap; an address is
 * in a scope if any of the prefixes that contain it is.
 *
 * **How an address is found.** Prefixes are flattened to intervals of equal answer. The first bits of
 * an address choose an entry of a directory, the entry names a cache line, and the line has the ends
 * of the intervals that these bits have in common: the answer is that of the first one that does not
 * end before the address. IPv4: ends of 16 bits, all that 21 of them need lies in one line, so a
 * look-up is two loads. IPv6: what is wider than /64 is found in a search tree over the first 64 bits
 * with eight branches a line, mostly one line deep below a directory that is so fine that most sources
 * need none, whatever the prefixes look like. The /64s, most of what is listed, stand in a hash of their
 * own, up to eight to a line, which is one load whether they are there or not; a /64 of which one address
 * is listed has that in the same line, and one with other longer prefixes there a search tree for the
 * second 64 bits. An address has the answers of all. All loads are fetched ahead for the whole burst, of
 * both families at once.
 *
 * The alternatives: /64s as intervals too are two ends and four loads in a tree of 31 MB at a million,
 * which no cache holds (29 to 49 cycles instead of 15 to 18); a hash per prefix length costs a load for
 * each length that occurs; a trie of 6 or 8 bits a node three or four loads that wait for each other.
 * Directories grow with the number of prefixes (256 KB for ten of them; for a million addresses the table
 * has 9 bytes each, of /64s 21).
 *
 * There is no time in it: control builds anew when an entry ends. So a look-up compares no clocks, and
 * what has ended costs nothing. */
#ifndef BLOCK_TABLE_H
#define BLOCK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_TABLE_MAGIC   UINT64_C(0x6b6c627269657701) /* ".weirblk" */
#define BLOCK_TABLE_VERSION 3U
#define BLOCK_TABLE_LEN_MAX (UINT64_C(1) << 30)
#define BLOCK_ENTRIES_MAX   (1U << 23)
#define BLOCK_BURST_MAX     64U
#define BLOCK_PORTS_MAX     64U

/* What is dropped from a source. */
enum block_scope {
	BLOCK_ALL = 0x01,       /* everything; an answer with it has no other */
	BLOCK_WIREGUARD = 0x02, /* UDP to the hub's WireGuard port */
	BLOCK_PUBLISHED = 0x04, /* to the ports of published services, block_table_publishes() */
	BLOCK_SCOPES = 0x07,
};

struct block_table; /* opaque: block_private.h */

/* Is data[len] a table that the functions below can read without leaving it? Trusts nothing in it.
 * It must not change afterwards: let it be a memfd with F_SEAL_WRITE. data is aligned to 64.
 * Returns it, borrowed, or NULL; then *why (may be NULL) says what was wrong, a literal.
 * Cost: once through the table (1 M prefixes: some ms). Not for the packet path. */
const struct block_table *block_table_check(const void *data, size_t len, const char **why);

uint64_t block_table_generation(const struct block_table *table); /* never 0 */
uint32_t block_table_entries(const struct block_table *table);
size_t block_table_len(const struct block_table *table);

/* The sources of a burst. Addresses in host order; scopes of each, sets of enum block_scope (0 = none),
 * are written. n_v4 and n_v6 <= BLOCK_BURST_MAX; of a family of which there are none all may be NULL. */
struct block_sources {
	const uint32_t *v4;
	uint8_t *v4_scopes;
	const uint64_t *high; /* IPv6: the halves of the addresses */
	const uint64_t *low;
	uint8_t *v6_scopes;
	uint32_t n_v4;
	uint32_t n_v6;
};

/* Which scopes the sources are in. Cost: see bench/README.md; writes nothing else, any thread. */
void block_find(const struct block_table *table, const struct block_sources *sources);

/* Of one family. */
void block_find_v4(const struct block_table *table, const uint32_t *address, uint8_t *scopes,
                   uint32_t n);
void block_find_v6(const struct block_table *table, const uint64_t *high, const uint64_t *low,
                   uint8_t *scopes, uint32_t n);

/* Is this destination port (host order) of this IP protocol one of a published service? */
bool block_table_publishes(const struct block_table *table, uint8_t protocol, uint16_t port);

#endif
