#include "resolver/lookup.h"

#include <errno.h>
#include <stdio.h>

/* Steps within one subdomain of a mailbox; each may be left out. */
enum { STEP_VERBATIM = 0, STEP_PLUS, STEP_STAR, STEP_ANY, STEP_USER, STEP_DOMAIN, STEP_END };
/* Steps within one prefix length of an address. */
enum { NET_PLAIN = 0, NET_LONG, NET_CIDR, NET_END };

/* The key under construction; n over LOOKUP_KEY_MAX: too long. */
struct key {
	char *p;
	size_t n;
};

static void put(struct key *k, const char *p, size_t n)
{
	if (n && k->n + n <= LOOKUP_KEY_MAX)
		memcpy(k->p + k->n, p, n);
	k->n += n;
}

static void put_span(struct key *k, struct span s)
{
	put(k, s.p, s.n);
}

static void put_lower(struct key *k, struct span s)
{
	size_t at = k->n;

	put_span(k, s);
	for (size_t i = at; i < k->n && k->n <= LOOKUP_KEY_MAX; i++)
		k->p[i] = ascii_lower(k->p[i]);
}

static struct key begin(struct lookup *l)
{
	struct key k = { l->key, 0 };

	put_span(&k, l->tag);
	return k;
}

/* False: too long, go on with the next one. */
static bool finish(const struct key *k, struct span *out)
{
	*out = span_of(k->p, k->n);
	return k->n <= LOOKUP_KEY_MAX;
}

/* To ".parent" of the current subdomain; sets done behind the last one. */
static void next_subdomain(struct lookup *l)
{
	struct span rest = span_from(l->domain, l->at + 1);
	size_t dot = span_chr(rest, '.');

	if (dot == rest.n || l->domain.p[0] == '[')
		l->done = true;
	else
		l->at += 1 + dot;
}

void lookup_domain(struct lookup *l, struct span tag, struct span domain, unsigned flags)
{
	l->kind = LOOKUP_DOMAIN;
	l->flags = flags;
	l->tag = tag;
	l->domain = domain;
	l->at = 0;
	l->step = 0;
	l->done = !domain.n;
}

static bool domain_next(struct lookup *l, struct span *key)
{
	while (!l->done) {
		struct key k = begin(l);

		put_lower(&k, span_from(l->domain, l->at));
		next_subdomain(l);
		if (finish(&k, key))
			return true;
	}
	if (l->step || !(l->flags & LOOKUP_DEFAULT))
		return false;
	l->step = 1;
	struct key k = begin(l);
	put(&k, ".", 1);
	return finish(&k, key);
}

void lookup_addr(struct lookup *l, struct span tag, const struct addr *a,
		 const struct lookup_nets *nets)
{
	l->kind = LOOKUP_ADDR;
	l->tag = tag;
	l->addr = *a;
	l->nets = nets;
	l->bits = a->family == ADDR_IPV4 ? 32 : a->family == ADDR_IPV6 ? 128 : -1;
	l->step = NET_PLAIN;
}

static bool has_net(const struct lookup *l)
{
	unsigned bits = (unsigned)l->bits;

	if (!l->nets)
		return false;
	if (l->addr.family == ADDR_IPV4)
		return l->nets->v4 >> bits & 1;
	return l->nets->v6[bits / 64] >> bits % 64 & 1;
}

static void mask(struct addr *a, unsigned bits)
{
	unsigned whole = bits / 8;

	if (whole < sizeof a->ip && bits % 8)
		a->ip[whole++] &= (uint8_t)(0xff00 >> bits % 8);
	memset(a->ip + whole, 0, sizeof a->ip - whole);
}

static void put_cidr(struct key *k, const struct addr *a, unsigned bits)
{
	struct addr net = *a;
	char text[ADDR_TEXT_MAX + 8];

	mask(&net, bits);
	size_t n = addr_literal(&net, text);
	n += (size_t)snprintf(text + n, sizeof text - n, "/%u", bits);
	put(k, text, n);
}

/* The first bits of the address as groups: "10.1", "IPv6:2001:db8:0". */
static void put_groups(struct key *k, const struct addr *a, unsigned bits)
{
	char text[8];

	if (a->family == ADDR_IPV6)
		put(k, "IPv6:", 5);
	for (unsigned i = 0; i < bits / 8; i++) {
		int n;

		if (a->family == ADDR_IPV4) {
			n = snprintf(text, sizeof text, "%s%u", i ? "." : "", a->ip[i]);
		} else {
			unsigned g = (unsigned)a->ip[i] << 8 | a->ip[i + 1];

			n = snprintf(text, sizeof text, "%s%x", i ? ":" : "", g);
			i++;
		}
		put(k, text, (size_t)n);
	}
}

/* One key of the current length and step; false: there is none. */
static bool addr_key(struct lookup *l, struct key *k)
{
	bool v6 = l->addr.family == ADDR_IPV6;
	unsigned bits = (unsigned)l->bits, group = v6 ? 16 : 8;
	char text[ADDR_TEXT_MAX];

	switch (l->step) {
	case NET_PLAIN:
		if (!bits || bits % group)
			return false;
		if (v6 && bits == 128)
			put(k, text, addr_literal(&l->addr, text));
		else
			put_groups(k, &l->addr, bits);
		return true;
	case NET_LONG:
		if (!v6 || bits != 128)
			return false;
		put_groups(k, &l->addr, bits);
		return true;
	default:
		if (!has_net(l))
			return false;
		put_cidr(k, &l->addr, bits);
		return true;
	}
}

static bool addr_next(struct lookup *l, struct span *key)
{
	while (l->bits >= 0) {
		struct key k = begin(l);
		bool there = addr_key(l, &k);

		if (++l->step == NET_END) {
			l->step = NET_PLAIN;
			l->bits--;
		}
		if (there && finish(&k, key))
			return true;
	}
	return false;
}

void lookup_mailbox(struct lookup *l, struct span tag, struct span local, struct span domain,
		    char delimiter, unsigned flags)
{
	size_t d = span_chr(local, delimiter);

	l->kind = LOOKUP_MAILBOX;
	l->flags = flags;
	l->tag = tag;
	l->domain = domain;
	l->delimiter = delimiter;
	/* A local part that begins with the delimiter has no user, so it has no detail either. */
	l->has_detail = d > 0 && d < local.n;
	l->user = l->has_detail ? span_head(local, d) : local;
	l->detail = l->has_detail ? span_from(local, d + 1) : span_of(local.p, 0);
	l->at = 0;
	l->step = STEP_VERBATIM;
	l->done = !domain.n;
}

/* The local side of a key; false: this step does not apply. */
static bool put_local(const struct lookup *l, struct key *k)
{
	if (l->step <= STEP_STAR && !l->has_detail)
		return false;
	switch (l->step) {
	case STEP_VERBATIM:
		put_span(k, l->user);
		put(k, &l->delimiter, 1);
		put_span(k, l->detail);
		return true;
	case STEP_PLUS:
	case STEP_STAR:
		if (l->step == STEP_PLUS && !l->detail.n)
			return false;
		put_span(k, l->user);
		put(k, &l->delimiter, 1);
		put(k, l->step == STEP_PLUS ? "+" : "*", 1);
		return true;
	case STEP_ANY:
		put_span(k, l->user);
		put(k, "*", 1);
		return l->user.n > 0;
	case STEP_USER:
		put_span(k, l->user);
		return l->user.n && (!l->has_detail || l->flags & LOOKUP_MATCH_DETAIL);
	default:
		return !(l->flags & LOOKUP_NO_DOMAIN);
	}
}

static bool mailbox_next(struct lookup *l, struct span *key)
{
	while (!l->done) {
		struct key k = begin(l);
		bool there = put_local(l, &k);

		put(&k, "@", 1);
		put_lower(&k, span_from(l->domain, l->at));
		l->key_at = l->at;
		if (++l->step == STEP_END) {
			l->step = STEP_VERBATIM;
			next_subdomain(l);
		}
		if (there && finish(&k, key))
			return true;
	}
	while (l->flags & LOOKUP_LOCAL_PART && l->step < STEP_DOMAIN) {
		struct key k = begin(l);
		bool there = put_local(l, &k);

		l->key_at = 0;
		l->step++;
		if (there && finish(&k, key))
			return true;
	}
	return false;
}

bool lookup_next(struct lookup *l, struct span *key)
{
	switch (l->kind) {
	case LOOKUP_DOMAIN:
		return domain_next(l, key);
	case LOOKUP_ADDR:
		return addr_next(l, key);
	default:
		return mailbox_next(l, key);
	}
}

int lookup_nets_add(struct lookup_nets *nets, struct span key)
{
	char text[ADDR_TEXT_MAX + 8];
	struct key k = { text, 0 };
	struct addr_net net;

	if (span_chr(key, '/') == key.n)
		return 0;
	if (addr_net_parse(key, &net))
		return -EINVAL;
	put_cidr(&k, &net.base, net.bits);
	if (!span_caseeq(key, span_of(text, k.n)))
		return -EINVAL;
	if (net.base.family == ADDR_IPV4)
		nets->v4 |= UINT64_C(1) << net.bits;
	else
		nets->v6[net.bits / 64] |= UINT64_C(1) << net.bits % 64;
	return 0;
}
