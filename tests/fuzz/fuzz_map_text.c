/*
 * tests/fuzz/fuzz_map_text.c - any bytes as the text of a map.
 *
 * Every entry keeps the limits, and written back as createmap -d does it is read as the same entry.
 * Keys and values are also tried as those of an access map and of aliases.
 */
#include "resolver/access.h"
#include "resolver/alias_text.h"
#include "resolver/lookup.h"
#include "resolver/map_text.h"

#include "core/err.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_back(struct buf *out, const struct map_entry *e)
{
	bool colon = e->key.p[e->key.n - 1] == ':';

	if (buf_add_span(out, e->key) || buf_add_span(out, colon ? SPAN(":\t") : SPAN("\t")) ||
	    buf_add_span(out, e->value) || buf_add(out, "\n", 1))
		panic("no memory");
}

static void check(const struct map_entry *e)
{
	struct map_text t;
	struct map_entry again;
	struct buf out = { 0 };
	const char *why;

	if (!e->key.n || e->key.n > MAP_TEXT_KEY_MAX || !e->value.n ||
	    e->value.n > MAP_TEXT_VALUE_MAX)
		panic("limits");
	write_back(&out, e);
	map_text_init(&t, buf_span(&out));
	if (map_text_next(&t, &again, &why) != 1 || !span_eq(again.key, e->key) ||
	    !span_eq(again.value, e->value) || map_text_next(&t, &again, &why) != 0)
		panic("not the same when it is written back");
	map_text_free(&t);
	buf_release(&out);
}

static void as_access(const struct map_entry *e)
{
	char bytes[ACCESS_TEXT_MAX + 8];
	struct lookup_nets nets = { 0 };
	struct access_value v;
	struct address box;
	struct lookup l;
	struct span key;

	if (!access_parse_value(e->value, &v) && v.action == MSG_ACT_ERROR) {
		struct span reply = access_reply(&v, bytes);

		if (reply.n < 5 || memchr(reply.p, '\r', reply.n))
			panic("reply");
	}
	lookup_nets_add(&nets, e->key);
	if (address_split(e->key, &box))
		return;
	lookup_mailbox(&l, SPAN("to:"), box.local, box.domain, '+', LOOKUP_LOCAL_PART);
	while (lookup_next(&l, &key))
		if (key.n > LOOKUP_KEY_MAX)
			panic("key length");
}

/* Addresses that come out are such, and nothing in them ends a path early. */
static void as_alias(const struct map_entry *e)
{
	struct alias_macros m = { .user = e->key,
				  .detail = span_head(e->value, 9),
				  .domain = SPAN("d.test"),
				  .delimiter = '+',
				  .has_detail = true };
	struct span rest = e->value, addr;
	char made[ADDRESS_MAX];
	struct address box;
	const char *why = NULL;

	if (alias_text_check(e->key, e->value, &why) && !why)
		panic("refused without a reason");
	for (unsigned i = 0; alias_text_next(&rest, &addr, &why) == 1; i++) {
		int n = alias_text_make(addr, i % 2 ? &m : NULL, SPAN("gw.test"), made);

		if (i > e->value.n)
			panic("more addresses than bytes");
		if (n < 0)
			continue;
		if (address_split(span_of(made, (size_t)n), &box) || !box.domain.n)
			panic("no address");
		if (made[0] != '"' &&
		    (memchr(made, '>', (size_t)n) || memchr(made, ' ', (size_t)n)))
			panic("a path that ends early");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct map_text t;
	struct map_entry e;
	const char *why = NULL;
	int rc;

	map_text_init(&t, span_of(data, size));
	while ((rc = map_text_next(&t, &e, &why)) != 0) {
		if (rc == 1) {
			check(&e);
			as_access(&e);
			as_alias(&e);
		} else if (!why) {
			panic("an error without a reason");
		}
	}
	map_text_free(&t);
	return 0;
}
