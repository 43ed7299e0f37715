#include "bench/endpoint.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int parse_unix(const char *path, struct endpoint *out, char *why, size_t why_n)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->sa;

	if (*path == '\0' || strlen(path) >= sizeof(un->sun_path)) {
		snprintf(why, why_n, "a socket path has 1 to %zu bytes", sizeof(un->sun_path) - 1);
		return -EINVAL;
	}
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path) + 1);
	out->sa_n = sizeof(*un);
	snprintf(out->text, sizeof(out->text), "unix:%s", path);
	return 0;
}

/* Splits HOST:PORT, [HOST]:PORT, HOST, :PORT. */
static int split(const char *text, char *host, size_t host_n, char *port, size_t port_n)
{
	const char *end = NULL, *colon;
	size_t n;

	if (*text == '[') {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		colon = end[1] ? end + 1 : NULL;
	} else {
		colon = strrchr(text, ':');
		if (colon && strchr(text, ':') != colon)
			return -EINVAL; /* an IPv6 address needs brackets, or its end looks like a
					   port */
	}
	n = end ? (size_t)(end - text) : colon ? (size_t)(colon - text) : strlen(text);
	if (n >= host_n || (colon && (strlen(colon + 1) >= port_n || !colon[1])))
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = '\0';
	snprintf(port, port_n, "%s", colon ? colon + 1 : "25");
	return 0;
}

int endpoint_parse(const char *text, int family, bool passive, struct endpoint *out, char *why,
		   size_t why_n)
{
	char host[256], port[16];
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;

	*out = (struct endpoint){ 0 };
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, out, why, why_n);
	if (strncmp(text, "inet:", 5) == 0)
		text += 5;
	if (split(text, host, sizeof(host), port, sizeof(port)) || (!*host && !passive)) {
		snprintf(why, why_n, "expected HOST:PORT, [IPV6]:PORT or unix:PATH, found \"%s\"",
			 text);
		return -EINVAL;
	}
	hints.ai_flags = passive ? AI_PASSIVE : 0;
	int rc = getaddrinfo(*host ? host : NULL, port, &hints, &found);
	if (rc) {
		snprintf(why, why_n, "%s: %s", text, gai_strerror(rc));
		return -EINVAL;
	}
	memcpy(&out->sa, found->ai_addr, found->ai_addrlen);
	out->sa_n = found->ai_addrlen;
	freeaddrinfo(found);
	snprintf(out->text, sizeof(out->text), "%s", text);
	return 0;
}

bool endpoint_is_unix(const struct endpoint *e)
{
	return e->sa.ss_family == AF_UNIX;
}

/* Removes the socket of a listener that is gone; one that answers stays, and bind then fails. */
static void unlink_stale(const struct endpoint *e)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&e->sa, e->sa_n) && errno == ECONNREFUSED)
		unlink(((const struct sockaddr_un *)&e->sa)->sun_path);
	close(fd);
}

int endpoint_listen(const struct endpoint *e, int backlog, const char *device)
{
	const int one = 1;
	int fd = socket(e->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (endpoint_is_unix(e)) {
		unlink_stale(e);
	} else {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
			   sizeof(one)); /* accepted ones inherit it */
	}
	if ((device && !endpoint_is_unix(e) &&
	     setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device))) ||
	    bind(fd, (const struct sockaddr *)&e->sa, e->sa_n) || listen(fd, backlog)) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int endpoint_connect(const struct endpoint *e)
{
	const int one = 1;
	int fd = socket(e->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (!endpoint_is_unix(e))
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)&e->sa, e->sa_n) && errno != EINPROGRESS) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

unsigned endpoint_port(int fd)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &n))
		return 0;
	if (sa.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&sa)->sin_port);
	if (sa.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
	return 0;
}
