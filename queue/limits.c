#include "queue/limits.h"

#include "core/conf_number.h"
#include "core/err.h"
#include "core/map.h"
#include "core/rcu.h"

#include <errno.h>
#include <stdlib.h>

/* A net: what is left of the address, and how much that is. */
struct entry {
	uint8_t family, bits;
	uint8_t ip[16];
	unsigned value;
};

struct table {
	struct rcu_head rcu;
	struct entry *entry[LIMITS_KINDS];
	unsigned count[LIMITS_KINDS], cap[LIMITS_KINDS];
	bool has_default[LIMITS_KINDS];
	unsigned by_default[LIMITS_KINDS];
	usec_t octo; /* 0: not set */
};

static struct table *table;

static const char *const names[LIMITS_KINDS] = { "oci", "ocm", "icr", "icm" };

static int by_net(const void *a, const void *b)
{
	return memcmp(a, b, offsetof(struct entry, value));
}

/* ---- reading */

struct reading {
	struct table *t;
	struct report *r;
	const char *file;
};

/* "IPv6:2001:db8:1": groups from the left, 16 bits each. */
static int parse_ipv6(struct span s, struct entry *e)
{
	unsigned groups = 0;
	struct addr whole;

	if (!addr_parse(s, &whole) && whole.family == ADDR_IPV6) {
		e->bits = 128;
		memcpy(e->ip, whole.ip, 16);
		return 0;
	}
	s = span_from(s, 5);
	while (s.n) {
		size_t colon = span_chr(s, ':');
		unsigned v = 0;

		if (!colon || colon > 4 || groups == 8 || colon + 1 == s.n)
			return -EINVAL;
		for (size_t i = 0; i < colon; i++) {
			char c = ascii_lower(s.p[i]);

			if (!ascii_isdigit(c) && (c < 'a' || c > 'f'))
				return -EINVAL;
			v = v << 4 | (unsigned)(ascii_isdigit(c) ? c - '0' : c - 'a' + 10);
		}
		e->ip[2 * groups] = (uint8_t)(v >> 8);
		e->ip[2 * groups + 1] = (uint8_t)v;
		groups++;
		s = span_from(s, colon + 1);
	}
	e->bits = (uint8_t)(groups * 16);
	return groups ? 0 : -EINVAL;
}

static int parse_net(struct span s, struct entry *e)
{
	struct addr_net net;

	memset(e, 0, sizeof *e);
	if (span_casestartswith(s, SPAN("IPv6:"))) {
		e->family = ADDR_IPV6;
		return parse_ipv6(s, e);
	}
	if (addr_net_parse(s, &net) || net.base.family != ADDR_IPV4 || net.bits % 8)
		return -EINVAL;
	e->family = ADDR_IPV4;
	e->bits = (uint8_t)net.bits;
	memcpy(e->ip, net.base.ip, net.bits / 8);
	return 0;
}

static void add(struct table *t, enum limits_kind k, const struct entry *e)
{
	if (t->count[k] == t->cap[k]) {
		t->cap[k] = t->cap[k] ? t->cap[k] * 2 : 16;
		t->entry[k] = xrealloc(t->entry[k], t->cap[k] * sizeof *t->entry[k]);
	}
	t->entry[k][t->count[k]++] = *e;
}

static void bad(struct reading *w, struct span key, struct span value, const char *what)
{
	char k[REPORT_TOKEN_MAX], v[REPORT_TOKEN_MAX];

	report_error(w->r, w->file, 0, "entry '%s %s': %s", report_token(key, k),
		     report_token(value, v), what);
}

static int octo(struct span value, usec_t *out)
{
	char text[64];
	int64_t usec;

	if (value.n >= sizeof text)
		return -EINVAL;
	span_cstr(value, text, sizeof text);
	if (conf_number_time(text, USEC_PER_SEC, &usec) || usec <= 0)
		return -EINVAL;
	*out = usec;
	return 0;
}

static int one(void *ctx, struct span key, struct span value)
{
	struct reading *w = ctx;
	size_t colon = span_chr(key, ':');
	struct span name = span_head(key, colon), net = span_from(key, colon + 1);
	struct entry e;
	uint64_t v;

	if (span_startswith(key, span_of("\0", 1)))
		return 0;
	if (span_caseeq(name, SPAN("octo")) && !net.n) {
		if (octo(span_trim(value), &w->t->octo))
			bad(w, key, value, "expected a time above 0 such as 3600 or 1h");
		return 0;
	}
	if (span_u64(span_trim(value), 1000000000, &v) || !v) {
		bad(w, key, value, "expected a number above 0");
		return 0;
	}
	for (int k = 0; k < LIMITS_KINDS; k++) {
		if (!span_caseeq(name, span_str(names[k])))
			continue;
		if (!net.n) {
			w->t->has_default[k] = true;
			w->t->by_default[k] = (unsigned)v;
		} else if (parse_net(net, &e)) {
			bad(w, key, value,
			    "expected an address or net such as 10, 192.168.7, 192.0.2.1, IPv6:2001:db8");
		} else {
			e.value = (unsigned)v;
			add(w->t, (enum limits_kind)k, &e);
		}
		return 0;
	}
	bad(w, key, value, "expected oci, ocm, octo, icr or icm");
	return 0;
}

static void table_free(struct table *t)
{
	for (int k = 0; k < LIMITS_KINDS; k++)
		free(t->entry[k]);
	free(t);
}

static void free_later(struct rcu_head *head)
{
	RCU_TSAN_ACQUIRE(head);
	RCU_TSAN_GRACE();
	table_free(caa_container_of(head, struct table, rcu));
}

int limits_load(const char *path, struct report *r)
{
	struct table *t = xcalloc(1, sizeof *t), *old = table;
	struct map *m = map_open_hash("qmgr_conf", path, r);
	struct reading w = { t, r, path };
	unsigned errors = r->error_count;

	if (m)
		map_walk(m, SPAN(""), one, &w);
	if (!m || r->error_count > errors) {
		map_put_ref(m);
		table_free(t);
		return -EINVAL;
	}
	map_put_ref(m);
	for (int k = 0; k < LIMITS_KINDS; k++)
		if (t->count[k])
			qsort(t->entry[k], t->count[k], sizeof *t->entry[k], by_net);
	RCU_PUBLISH(table, t);
	if (old)
		rcu_later(&old->rcu, free_later);
	return 0;
}

/* ---- asking */

unsigned limits_get(enum limits_kind kind, const struct addr *a, unsigned otherwise)
{
	struct table *t = RCU_READ(table);
	unsigned step = a->family == ADDR_IPV6 ? 16 : 8;
	struct entry key = { .family = a->family };

	if (!t)
		return otherwise;
	for (unsigned bits = a->family == ADDR_IPV6 ? 128 : 32; t->count[kind] && bits;
	     bits -= step) {
		key.bits = (uint8_t)bits;
		memset(key.ip, 0, sizeof key.ip);
		memcpy(key.ip, a->ip, bits / 8);
		struct entry *e = bsearch(&key, t->entry[kind], t->count[kind], sizeof key, by_net);
		if (e)
			return e->value;
	}
	return t->has_default[kind] ? t->by_default[kind] : otherwise;
}

usec_t limits_octo(usec_t otherwise)
{
	struct table *t = RCU_READ(table);

	return t && t->octo ? t->octo : otherwise;
}
