/* The configuration file (conf/weir.conf.5) as one typed struct, checked while it is read: every
 * error names file, line, what was read and what is allowed. Nothing here acts on the system. */
#ifndef CONFIG_H
#define CONFIG_H

#include "abi_layout.h"
#include "base_host.h"
#include "base_ip.h"
#include "base_log.h"
#include "limit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_NAME_LEN      64  /* with the terminating zero */
#define CONFIG_PATH_LEN      108 /* fits sun_path */
#define CONFIG_TUNNEL_MAX    4
#define CONFIG_PORT_ADDR_MAX 8
#define CONFIG_LISTEN_MAX    8
#define CONFIG_NETWORKS_MAX  131072U /* behind one peer, in the store and for wg(8) too */
#define CONFIG_ALLOWED_MAX   (CONFIG_NETWORKS_MAX + CONFIG_TUNNEL_MAX) /* and its addresses */

enum config_psk {                          /* who may be a peer without a preshared key */
	          CONFIG_PSK_OPTIONAL = 0, /* whoever is added without one */
	          CONFIG_PSK_REQUIRED = 1, /* nobody but whom wg(8) sets so */
};

enum config_wg_socket { /* what wg(8) may */
	                CONFIG_WG_OFF = 0,
	                CONFIG_WG_READ_ONLY = 1,
	                CONFIG_WG_READ_WRITE = 2,
};

struct config_port { /* ports: ( { ... }, ... ) */
	char name[16];
	uint32_t driver;  /* enum abi_driver: "af_packet", "pci", "vdev" */
	char device[176]; /* interface, PCI address, or EAL --vdev text */
	char tap[16];     /* kernel-side TAP's name; default "weir-NAME"; "" = none */
	uint16_t mtu;     /* 1500 */
	struct base_prefix
		addresses[CONFIG_PORT_ADDR_MAX]; /* put on the TAP; none = left to `ip` */
	uint32_t n_addresses;
	struct base_ip gateways[2]; /* default routes through this port, at most one a family */
	uint32_t n_gateways;
};

struct config_peer { /* peers: ( { ... }, ... ): peers that the file declares */
	char name[CONFIG_NAME_LEN];
	uint8_t public_key[32];
	bool has_preshared_key;
	uint8_t preshared_key[32]; /* read from preshared_key_file; wiped by config_unload() */
	struct base_prefix *allowed_ips; /* [n_allowed_ips], the config's */
	uint32_t n_allowed_ips; /* an address is given in each tunnel net where none is named */
	uint16_t keepalive_s;
	/* At most one of the two; port 0 = not given. */
	struct base_endpoint endpoint;
	struct base_host_port endpoint_name; /* looked up, and again (control/peer/peer_name.h) */
	bool expected_up;                    /* false */
	bool has_limits;
	struct limit_spec limits;
	int line;
};

#define CONFIG_DSCP_MAX  63U
#define CONFIG_DSCP_COPY 64U /* as inside */

struct config {
	char path[256]; /* file it came from */

	/* hub: { ... } */
	uint16_t listen_port;       /* 51820 */
	char private_key_file[256]; /* made 0600 at first start when it does not exist */
	struct base_prefix
		tunnel[CONFIG_TUNNEL_MAX]; /* hub's own address in each tunnel net, with length */
	uint32_t n_tunnel;
	char tunnel_device[16]; /* "weir0" */
	uint16_t tunnel_mtu;    /* 1420 */
	char endpoint[256];     /* "host:port" that clients are told; "" = first port address */
	bool peer_to_peer;      /* false */
	uint16_t dscp;          /* of outer packets, 0 to 63 (0), or CONFIG_DSCP_COPY */
	bool clamp_mss;         /* false */
	uint32_t preshared_key; /* enum config_psk: required */

	/* dataplane: { ... } */
	uint32_t n_workers;             /* 1 */
	int16_t cores[ABI_WORKERS_MAX]; /* -1 = not pinned */
	uint32_t idle_cap_us;           /* idle = "busy" (0) or "adaptive:US" (100) */
	uint32_t aead;                  /* enum abi_aead */
	uint32_t n_mbufs;               /* 0 = default */
	uint32_t n_flows;               /* of each worker, 0 = default */
	bool use_hugepages;
	uint32_t max_peers; /* 1024 */

	struct config_port ports[ABI_PORTS_MAX];
	uint32_t n_ports;

	/* control: { ... } */
	char run_dir[64];           /* "/run/weir": control.sock and dataplane.sock */
	char store[256];            /* "/var/lib/weir/weir.db" */
	char user[32];              /* whom control becomes after start: "nobody" */
	uint32_t handshake_threads; /* 1 */
	uint32_t wg_socket;         /* enum config_wg_socket: read-write */
	enum base_log_level log_level;
	uint32_t trail_records; /* 1000000; 0 = any number */
	uint32_t trail_days;    /* 0 = of any age */

	/* edge: { ... } */
	struct base_endpoint https[CONFIG_LISTEN_MAX];
	uint32_t n_https;                             /* 0 = no edge */
	struct base_endpoint http[CONFIG_LISTEN_MAX]; /* redirects to https */
	uint32_t n_http;

	/* policy: { ... } */
	uint32_t drift_check_s;     /* 60; 0 = only on demand */
	bool drift_repair;          /* true */
	uint32_t key_age_days;      /* 365; 0 = a key may be of any age */
	uint32_t unused_grant_days; /* 90; 0 = a grant may be unused */

	/* events: { ... } */
	char webhook[512];    /* "https://...", "" = none; may hold a secret */
	char webhook_ca[256]; /* "" = whom the system trusts */
	uint32_t
		stale_after_s; /* 180: so old a handshake of a peer that should be up is an alarm */

	/* debug: { ... } */
	bool debug_commands; /* false */

	/* limits: { ... }: of every peer that has none of its own */
	struct limit_spec limits;
	uint32_t quota_day; /* 1: day of the month on which quotas begin anew, at midnight UTC */

	struct config_peer *peers; /* [n_peers], owned */
	uint32_t n_peers;
	struct base_prefix *allowed_ips; /* of all peers, as they stand in the file; owned */
};

/* Read and check a file. On error nothing is allocated and error[error_len] holds one line such as
 *   weir.conf:35: peer "alice": keepalive is 70000, must be 0 to 65535 seconds (0 turns it off)
 * Unknown keys are errors too. Returns 0, -EINVAL, -ENOMEM, -errno of opening. Caller:
 * config_unload() (not config_destroy: libconfig exports a function of that name). */
int config_load(const char *path, struct config **out, char *error, size_t error_len)
	__attribute__((warn_unused_result));
void config_unload(struct config *config); /* wipes preshared keys; NULL is fine */

/* Call fn for every key that the loader knows: object "hub", "ports" ..., its key, and the text
 * that completes "must be ...". Tests hold the man page and the example against it. */
typedef void config_key_fn(void *arg, const char *object, const char *key, const char *allowed);
void config_key_each(config_key_fn *fn, void *arg);

#endif
