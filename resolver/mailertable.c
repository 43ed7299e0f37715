#include "resolver/mailertable.h"

#include "resolver/lookup.h"
#include "resolver/map_text.h"

#include "core/arena.h"
#include "core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct entry {
	struct span key; /* lower case; .p NULL: the slot is free */
	struct span route;
	uint64_t hash;
	unsigned line;
	uint8_t mailer;
};

struct mailertable {
	atomic_uint refs;
	struct map *map; /* NULL: the entries below */
	struct arena *arena;
	struct entry *slot; /* open addressing, at most half full */
	size_t mask;
	size_t count;
};

/* ---- one entry */

static int bad(char why[static MAILERTABLE_WHY_MAX], const char *expected, struct span found)
{
	char token[REPORT_TOKEN_MAX];

	snprintf(why, MAILERTABLE_WHY_MAX, "expected %s, found \"%s\"", expected,
		 report_token(found, token));
	return -EINVAL;
}

static bool is_hostname(struct span s)
{
	if (!s.n || s.n > 255 || s.p[0] == '.' || s.p[s.n - 1] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '.' && s.p[i - 1] == '.')
			return false;
		if (!ascii_isalnum(c) && c != '-' && c != '_' && c != '.' && !(c & 0x80))
			return false;
	}
	return true;
}

/* A host name, also behind a dot, or a dot alone. */
static bool key_ok(struct span key)
{
	if (span_eq(key, SPAN(".")))
		return true;
	return is_hostname(key.n && key.p[0] == '.' ? span_from(key, 1) : key);
}

static int parse_host(struct span word, uint16_t port, struct route *out,
		      char why[static MAILERTABLE_WHY_MAX])
{
	struct addr a;

	if (word.p[0] != '[') {
		if (is_hostname(word))
			return bad(
				why,
				"an address in brackets (host names need DNS, which this version does not have)",
				word);
		return bad(why, "a host, [192.0.2.1] or [IPv6:2001:db8::1]", word);
	}
	if (word.p[word.n - 1] != ']' ||
	    addr_parse(span_of(word.p + 1, word.n < 2 ? 0 : word.n - 2), &a))
		return bad(why, "an IP address in brackets", word);
	if (out->count == ROUTE_HOSTS_MAX)
		return bad(why, "fewer hosts", word);
	a.port = port;
	out->host[out->count++] = a;
	return 0;
}

/* "PORT^" at the begin: takes it from *rest. 0 or -EINVAL. */
static int parse_port(struct span *rest, uint16_t *port, char why[static MAILERTABLE_WHY_MAX])
{
	struct span first = *rest;
	size_t hat = span_chr(span_word(&first, " \t"), '^');
	uint64_t v = 0;

	*port = 0;
	if (hat >= rest->n || rest->p[hat] != '^')
		return 0;
	struct span number = span_head(*rest, hat);
	if (span_u64(number, 65535, &v) || !v)
		return bad(why, "a port from 1 to 65535 in front of ^", number);
	*port = (uint16_t)v;
	*rest = span_from(*rest, hat + 1);
	return 0;
}

int mailertable_parse_value(struct span value, struct route *out,
			    char why[static MAILERTABLE_WHY_MAX])
{
	struct span rest = span_trim(value), word;
	uint16_t port;
	int rc;

	out->mailer = ROUTE_ESMTP;
	out->count = 0;
	out->ttl_sec = 0;
	if ((rc = parse_port(&rest, &port, why)))
		return rc;
	if (span_casestartswith(rest, SPAN("lmtp:"))) {
		out->mailer = port ? ROUTE_LMTP : ROUTE_LMTP_LOCAL;
		rest = span_from(rest, 5);
	} else if (span_casestartswith(rest, SPAN("esmtp:"))) {
		rest = span_from(rest, 6);
	}
	while ((word = span_word(&rest, " \t")).n) {
		if (out->mailer == ROUTE_LMTP_LOCAL)
			return bad(why,
				   "lmtp: alone, or a port in front of it (24^lmtp:[192.0.2.1])",
				   word);
		if ((rc = parse_host(word, port, out, why)))
			return rc;
	}
	if (!out->count && out->mailer != ROUTE_LMTP_LOCAL)
		return bad(why, "[PORT^][esmtp:]HOST..., lmtp: or PORT^lmtp:HOST...", value);
	return 0;
}

/* ---- the table */

static struct mailertable *new_table(void)
{
	struct mailertable *t = xcalloc(1, sizeof *t);

	atomic_init(&t->refs, 1);
	return t;
}

struct mailertable *mailertable_get_ref(struct mailertable *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

void mailertable_put_ref(struct mailertable *t)
{
	if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	map_put_ref(t->map);
	arena_free(t->arena);
	free(t->slot);
	free(t);
}

/* The slot of key, or the free one where it belongs. */
static struct entry *find_slot(const struct mailertable *t, struct span key, uint64_t hash)
{
	size_t i = hash & t->mask;

	while (t->slot[i].key.p && (t->slot[i].hash != hash || !span_eq(t->slot[i].key, key)))
		i = (i + 1) & t->mask;
	return &t->slot[i];
}

static void grow(struct mailertable *t)
{
	size_t cap = t->slot ? 2 * (t->mask + 1) : 64;
	struct entry *old = t->slot;
	size_t old_cap = old ? t->mask + 1 : 0;

	t->slot = xcalloc(cap, sizeof *t->slot);
	t->mask = cap - 1;
	for (size_t i = 0; i < old_cap; i++)
		if (old[i].key.p)
			*find_slot(t, old[i].key, old[i].hash) = old[i];
	free(old);
}

static struct span keep(struct mailertable *t, struct span s)
{
	struct span copy = arena_span(t->arena, s);

	if (!copy.p)
		panic("out of memory for the mailertable");
	return copy;
}

static void add(struct mailertable *t, const char *name, const struct map_entry *e,
		struct report *r)
{
	char why[MAILERTABLE_WHY_MAX], token[REPORT_TOKEN_MAX], bytes[ROUTE_BYTES_MAX];
	char low[MAP_TEXT_KEY_MAX];
	struct route route;

	if (!key_ok(e->key)) {
		report_error(r, name, e->line, "expected a domain, .domain or a dot, found \"%s\"",
			     report_token(e->key, token));
		return;
	}
	if (mailertable_parse_value(e->value, &route, why)) {
		report_error(r, name, e->line, "%s", why);
		return;
	}
	for (size_t i = 0; i < e->key.n; i++)
		low[i] = ascii_lower(e->key.p[i]);
	struct span key = span_of(low, e->key.n);
	uint64_t hash = span_hash(key);
	if (2 * t->count >= t->mask)
		grow(t);
	struct entry *s = find_slot(t, key, hash);
	if (s->key.p) {
		report_error(r, name, e->line, "duplicate entry \"%s\", first in line %u",
			     report_token(e->key, token), s->line);
		return;
	}
	*s = (struct entry){ .key = keep(t, key),
			     .route = keep(t, span_of(bytes, route_encode(&route, bytes))),
			     .hash = hash,
			     .line = e->line,
			     .mailer = route.mailer };
	t->count++;
}

struct mailertable *mailertable_from_text(const char *name, struct span text, struct report *r)
{
	unsigned before = r->error_count;
	struct mailertable *t = new_table();
	const char *why = NULL;
	struct map_entry e;
	struct map_text mt;
	int rc;

	t->arena = arena_new();
	if (!t->arena)
		panic("out of memory for the mailertable");
	grow(t);
	map_text_init(&mt, text);
	while ((rc = map_text_next(&mt, &e, &why)) != 0) {
		if (rc == -ENOMEM)
			panic("out of memory for the mailertable");
		if (rc < 0)
			report_error(r, name, e.line, "%s", why);
		else
			add(t, name, &e, r);
	}
	map_text_free(&mt);
	if (r->error_count == before)
		return t;
	mailertable_put_ref(t);
	return NULL;
}

/* All of fd into b. 0 or -errno. */
static int read_all(int fd, struct buf *b)
{
	for (;;) {
		char *p = buf_room(b, 65536);
		ssize_t n = p ? read(fd, p, 65536) : -1;

		if (n <= 0)
			return n == 0 ? 0 : p ? -errno : -ENOMEM;
		buf_wrote(b, (size_t)n);
		if (buf_len(b) > MAILERTABLE_TEXT_MAX)
			return -EFBIG;
	}
}

struct mailertable *mailertable_from_file(const char *path, struct report *r)
{
	/* Not a fifo or a device: opening it would wait. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct mailertable *t = NULL;
	struct buf text = { 0 };

	if (fd < 0 && errno == ENOENT) {
		report_warning(r, path, 0, "does not exist, the mailertable is empty");
		return mailertable_from_text(path, SPAN(""), r);
	}
	int rc = fd < 0 ? -errno : read_all(fd, &text);
	if (rc)
		report_error(r, path, 0, "cannot read: %s", strerror(-rc));
	else
		t = mailertable_from_text(path, buf_span(&text), r);
	if (fd >= 0)
		close(fd);
	buf_release(&text);
	return t;
}

struct check {
	const struct map *map;
	struct report *report;
};

static int check_entry(void *ctx, struct span key, struct span value)
{
	struct check *c = ctx;
	char why[MAILERTABLE_WHY_MAX], token[REPORT_TOKEN_MAX];
	struct route route;

	report_token(key, token);
	if (!key_ok(key))
		report_error(c->report, map_file(c->map), 0,
			     "expected a domain, .domain or a dot, found \"%s\"", token);
	else if (mailertable_parse_value(value, &route, why))
		report_error(c->report, map_file(c->map), 0, "entry \"%s\": %s", token, why);
	return 0;
}

struct mailertable *mailertable_from_map(struct map *m, struct report *r)
{
	struct check c = { m, r };
	unsigned before = r->error_count;

	if (map_blocks(m)) {
		report_error(r, map_name(m), 0, "a passwd map cannot be the mailertable");
		return NULL;
	}
	int rc = map_walk(m, SPAN(""), check_entry, &c);
	if (rc)
		report_error(r, map_file(m), 0, "cannot read the map: %s", strerror(-rc));
	if (r->error_count != before)
		return NULL;
	struct mailertable *t = new_table();
	t->map = map_get_ref(m);
	return t;
}

size_t mailertable_count(const struct mailertable *t)
{
	return t->count;
}

/* ---- looking up */

static int find_in_map(const struct mailertable *t, struct span key, struct mailertable_hit *hit)
{
	char why[MAILERTABLE_WHY_MAX];
	struct route route;
	struct span value;
	int rc = map_get(t->map, key, &value);

	if (rc)
		return rc;
	if (mailertable_parse_value(value, &route, why))
		return -EINVAL;
	hit->mailer = route.mailer;
	hit->route = span_of(hit->bytes, route_encode(&route, hit->bytes));
	return 0;
}

static int find_in_table(const struct mailertable *t, struct span key, struct mailertable_hit *hit)
{
	const struct entry *s = find_slot(t, key, span_hash(key));

	if (!s->key.p)
		return -ENOENT;
	hit->mailer = s->mailer;
	hit->route = s->route;
	return 0;
}

int mailertable_find(const struct mailertable *t, struct span domain, struct mailertable_hit *hit)
{
	struct lookup l;
	struct span key;
	int rc = -ENOENT;

	lookup_domain(&l, SPAN(""), domain, LOOKUP_DEFAULT);
	while (rc == -ENOENT && lookup_next(&l, &key))
		rc = t->map ? find_in_map(t, key, hit) : find_in_table(t, key, hit);
	return rc;
}

int mailertable_route(const struct mailertable *t, const struct address *box, struct span hostname,
		      struct mailertable_hit *hit)
{
	if (box->literal.family != ADDR_NONE) {
		struct route r = { .mailer = ROUTE_ESMTP, .count = 1, .host = { box->literal } };

		hit->mailer = r.mailer;
		hit->route = span_of(hit->bytes, route_encode(&r, hit->bytes));
		return 0;
	}
	return t ? mailertable_find(t, box->domain.n ? box->domain : hostname, hit) : -ENOENT;
}
