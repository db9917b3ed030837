/* Between wg_mac1.c and the three compilations of wg_mac1_lanes.c. */
#ifndef WG_MAC1_LANES_H
#define WG_MAC1_LANES_H

#include <stddef.h>
#include <stdint.h>

#define WG_MAC1_LANES_MAX 16U

/* The BLAKE2s of each lane's msgs[lane][len], 16 bytes of it, continued from h[8], behind which 64 bytes
 * lie. As many lanes as the name says. len is a multiple of 4, not 0. */
typedef void wg_mac1_lanes_fn(const uint32_t h[8], const uint8_t *const msgs[], size_t len,
                              uint8_t out[][16]);

wg_mac1_lanes_fn wg_mac1_lanes_4;
wg_mac1_lanes_fn wg_mac1_lanes_8;
wg_mac1_lanes_fn wg_mac1_lanes_16;

#endif
