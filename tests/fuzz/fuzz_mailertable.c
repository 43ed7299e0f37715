/*
 * tests/fuzz/fuzz_mailertable.c - any bytes as a mailertable.
 *
 * What is accepted answers lookups with routes that can be decoded; what is refused says why.
 */
#include "resolver/mailertable.h"
#include "resolver/map_text.h"

#include "core/err.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void find(const struct mailertable *t, struct span domain)
{
	struct mailertable_hit hit;
	struct route r;

	if (!mailertable_find(t, domain, &hit) &&
	    (route_decode(hit.route, &r) || r.mailer != hit.mailer))
		panic("a route that cannot be decoded");
}

static void find_all(const struct mailertable *t, struct span text)
{
	struct mailertable_hit hit;
	struct map_text mt;
	struct map_entry e;
	const char *why;
	size_t count = 0;
	int rc;

	map_text_init(&mt, text);
	while ((rc = map_text_next(&mt, &e, &why)) == 1) {
		count++;
		find(t, e.key);
		find(t, span_from(e.key, 1));
		if (e.key.p[0] != '.' && mailertable_find(t, e.key, &hit))
			panic("an entry is not found");
	}
	map_text_free(&mt);
	if (rc || count != mailertable_count(t))
		panic("number of entries");
	find(t, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	struct report r = { 0 };
	struct mailertable *t = mailertable_from_text("fuzz", text, &r);

	if (!t && !r.error_count)
		panic("refused without a reason");
	if (t)
		find_all(t, text);
	mailertable_put_ref(t);
	report_free(&r);
	return 0;
}
