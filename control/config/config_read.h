/* The readers that the tables of keys name (config_keys.c): each stores what one kind of key may hold, and says no
 * to everything else. Private to config. */
#ifndef CONFIG_READ_H
#define CONFIG_READ_H

#include "config_key.h"

config_read_fn config__read_aead;
config_read_fn config__read_allowed_ips;
config_read_fn config__read_bool;
config_read_fn config__read_cores;
config_read_fn config__read_device;
config_read_fn config__read_driver;
config_read_fn config__read_dscp;
config_read_fn config__read_endpoint;
config_read_fn config__read_gateways;
config_read_fn config__read_host_port;
config_read_fn config__read_http;
config_read_fn config__read_https;
config_read_fn config__read_https_url;
config_read_fn config__read_idle;
config_read_fn config__read_interface;
config_read_fn config__read_limit;
config_read_fn config__read_limits;
config_read_fn config__read_log_level;
config_read_fn config__read_path;
config_read_fn config__read_peer_name;
config_read_fn config__read_port_addresses;
config_read_fn config__read_port_name;
config_read_fn config__read_preshared_key;
config_read_fn config__read_preshared_key_rule;
config_read_fn config__read_public_key;
config_read_fn config__read_tap;
config_read_fn config__read_tunnel;
config_read_fn config__read_u16;
config_read_fn config__read_u32;
config_read_fn config__read_user;
config_read_fn config__read_wg_socket;

#endif
