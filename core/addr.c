#include "core/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

int addr_parse(struct span text, struct addr *out)
{
	char t[ADDR_TEXT_MAX];
	bool tagged = span_casestartswith(text, SPAN("IPv6:"));

	if (tagged)
		text = span_from(text, 5);
	if (!text.n || text.n >= sizeof t || memchr(text.p, 0, text.n))
		return -EINVAL;
	span_cstr(text, t, sizeof t);
	struct addr a = { 0 };
	if (!tagged && inet_pton(AF_INET, t, a.ip) == 1)
		a.family = ADDR_IPV4;
	else if (inet_pton(AF_INET6, t, a.ip) == 1)
		a.family = ADDR_IPV6;
	else
		return -EINVAL;
	*out = a;
	return 0;
}

size_t addr_text(const struct addr *a, char dst[static ADDR_TEXT_MAX])
{
	dst[0] = 0;
	if (a->family == ADDR_IPV4) {
		return (size_t)snprintf(dst, ADDR_TEXT_MAX, "%u.%u.%u.%u", a->ip[0], a->ip[1],
					a->ip[2], a->ip[3]);
	}
	if (a->family == ADDR_IPV6)
		inet_ntop(AF_INET6, a->ip, dst, ADDR_TEXT_MAX);
	return strlen(dst);
}

size_t addr_literal(const struct addr *a, char dst[static ADDR_TEXT_MAX])
{
	if (a->family != ADDR_IPV6)
		return addr_text(a, dst);
	char t[ADDR_TEXT_MAX];
	addr_text(a, t);
	int n = snprintf(dst, ADDR_TEXT_MAX, "IPv6:%.57s", t);
	return (size_t)n;
}

void addr_unmap(struct addr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (a->family != ADDR_IPV6 || memcmp(a->ip, mapped, sizeof mapped))
		return;
	memmove(a->ip, a->ip + 12, 4);
	memset(a->ip + 4, 0, 12);
	a->family = ADDR_IPV4;
}

void addr_from_sockaddr(const struct sockaddr *sa, struct addr *out)
{
	*out = (struct addr){ .family = ADDR_IPV4, .ip = { 127, 0, 0, 1 } };
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		out->port = ntohs(in->sin_port);
		memcpy(out->ip, &in->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		out->port = ntohs(in6->sin6_port);
		out->family = ADDR_IPV6;
		memcpy(out->ip, &in6->sin6_addr, 16);
		addr_unmap(out);
	}
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof *ss);
	if (a->family == ADDR_IPV6) {
		struct sockaddr_in6 *in6 = (void *)ss;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(a->port);
		memcpy(&in6->sin6_addr, a->ip, 16);
		return sizeof *in6;
	}
	struct sockaddr_in *in = (void *)ss;
	in->sin_family = AF_INET;
	in->sin_port = htons(a->port);
	memcpy(&in->sin_addr, a->ip, 4);
	return sizeof *in;
}

bool addr_ip_eq(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && !memcmp(a->ip, b->ip, 16);
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
	return a->port == b->port && addr_ip_eq(a, b);
}

uint64_t addr_ip_hash(const struct addr *a)
{
	uint64_t v[2];

	memcpy(v, a->ip, 16);
	return hash_mix(hash_mix(a->family, v[0]), v[1]);
}

uint64_t addr_hash(const struct addr *a)
{
	return hash_mix(addr_ip_hash(a), a->port);
}

bool addr_is_loopback(const struct addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	if (a->family == ADDR_IPV4)
		return a->ip[0] == 127;
	return a->family == ADDR_IPV6 && !memcmp(a->ip, one, 16);
}

/* "10", "192.168.7", "192.168.7." */
static int short_ipv4(struct span t, struct addr_net *out)
{
	struct addr_net n = { .base.family = ADDR_IPV4 };
	unsigned parts = 0;

	while (t.n) {
		size_t dot = span_chr(t, '.');
		uint64_t v;

		if (parts == 4 || span_u64(span_head(t, dot), 255, &v))
			return -EINVAL;
		n.base.ip[parts++] = (uint8_t)v;
		t = span_from(t, dot + 1);
	}
	n.bits = parts * 8;
	*out = n;
	return parts ? 0 : -EINVAL;
}

int addr_net_parse(struct span text, struct addr_net *out)
{
	size_t slash = span_chr(text, '/');
	struct addr_net n = { 0 };
	uint64_t bits;

	if (addr_parse(span_head(text, slash), &n.base))
		return slash == text.n ? short_ipv4(text, out) : -EINVAL;
	unsigned max = n.base.family == ADDR_IPV4 ? 32 : 128;
	bits = max;
	if (slash < text.n && span_u64(span_from(text, slash + 1), max, &bits))
		return -EINVAL;
	n.bits = (unsigned)bits;
	*out = n;
	return 0;
}

bool addr_net_has(const struct addr_net *net, const struct addr *a)
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	if (net->base.family != a->family || memcmp(net->base.ip, a->ip, whole))
		return false;
	return !rest || !((net->base.ip[whole] ^ a->ip[whole]) >> (8 - rest));
}
