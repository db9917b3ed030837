/* Names and texts of the counters, made from the one list. */
#include "abi_counter.h"

const struct abi_counter_text abi_counter_texts[ABI_N_COUNTERS] = {
#define X(name, kind, json, text) [ABI_COUNTER_##name] = {json, text, ABI_COUNTER_KIND_##kind},
	ABI_COUNTER_LIST(X)
#undef X
};
