/* Contexts of the multi-packet backends. */
#include "aead_multi.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int aead_multi_create(const char *name, void **context, char label[static AEAD_LABEL_LEN])
{
	char helper_label[AEAD_LABEL_LEN];
	struct aead_multi *multi = aligned_alloc(64, sizeof(*multi));

	if (multi == NULL)
		return -ENOMEM;
	memset(multi, 0, sizeof(*multi));
	if (aead_ipsec_mb_ops.create(&multi->helper, helper_label) != 0)
		multi->helper = NULL; /* it only helps */
	snprintf(label, AEAD_LABEL_LEN, "%s multi-packet%s", name,
	         multi->helper == NULL ? "" : " + ipsec-mb");
	*context = multi;
	return 0;
}

void aead_multi_destroy(void *context)
{
	struct aead_multi *multi = (struct aead_multi *)context;

	if (multi->helper != NULL)
		aead_ipsec_mb_ops.destroy(multi->helper);
	base_wipe(multi, sizeof(*multi));
	free(multi);
}
