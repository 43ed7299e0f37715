/*
 * core/addr.h - IPv4 and IPv6 addresses with a port, 20 bytes; ANY_LOCAL stands for a unix socket
 * peer.
 */
#ifndef CORE_ADDR_H
#define CORE_ADDR_H
#include "core/span.h"

#include <sys/socket.h>

enum addr_family { ADDR_NONE = 0, ADDR_IPV4 = 4, ADDR_IPV6 = 6 };

enum { ADDR_TEXT_MAX = 64 };

struct addr {
	uint8_t family; /* enum addr_family */
	uint8_t zero;
	uint16_t port;  /* host order */
	uint8_t ip[16]; /* network order; IPv4 uses the first 4, the rest is 0 */
};

/* "192.0.2.1" or "2001:db8::1" (also "IPv6:..."), without a port. 0 or -EINVAL. */
int addr_parse(struct span text, struct addr *out);
/* The address alone: "192.0.2.1", "2001:db8::1". Returns the length. */
size_t addr_text(const struct addr *a, char dst[static ADDR_TEXT_MAX]);
/* As RFC 5321 4.1.3 writes it inside brackets: "192.0.2.1", "IPv6:2001:db8::1". */
size_t addr_literal(const struct addr *a, char dst[static ADDR_TEXT_MAX]);

/* IPv4-mapped IPv6 becomes IPv4; a unix socket becomes 127.0.0.1 port 0. */
void addr_from_sockaddr(const struct sockaddr *sa, struct addr *out);
/* Returns the length of what it filled in. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss);

/* IPv4-mapped IPv6 (::ffff:192.0.2.1) becomes IPv4: who may do what must not depend on how an
 * address is written. */
void addr_unmap(struct addr *a);

/* Same family, ip and port. */
bool addr_eq(const struct addr *a, const struct addr *b);
/* Same family and ip. */
bool addr_ip_eq(const struct addr *a, const struct addr *b);
uint64_t addr_hash(const struct addr *a);    /* with the port */
uint64_t addr_ip_hash(const struct addr *a); /* without */
bool addr_is_loopback(const struct addr *a);

/* A net such as 10.0.0.0/8, 192.0.2.1, 2001:db8::/32; R's shortened IPv4 "10", "192.168.7" too. */
struct addr_net {
	struct addr base;
	unsigned bits;
};
int addr_net_parse(struct span text, struct addr_net *out);
bool addr_net_has(const struct addr_net *net, const struct addr *a);

#endif
