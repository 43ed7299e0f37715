#include "proto/smtps_members.h"

#include "core/members.h"
#include "core/xtext.h"

#include <errno.h>

/* Of one message of smar. */
struct part {
	struct part *next;
	uint32_t count;
	struct smtps_to to[];
};

struct list {
	struct span *item;
	uint32_t count, room;
};

struct smtps_members {
	struct members_seen seen;
	struct part *parts, **parts_end;
	struct list routes, owners;
	uint32_t *route;   /* their numbers in the transaction */
	uint16_t *owner;   /* the same, from 1 on; 0 is none */
	struct span orcpt; /* the address of the alias */
	size_t bytes;      /* of addresses, routes and owners */
	bool no_room, no_memory;
	bool utf8;
	bool notice; /* the author is told that it was expanded */
	bool owned;  /* all have an owner */
};

static void begin(struct smtps_members *m)
{
	struct members_seen seen = m->seen;

	*m = (struct smtps_members){ .seen = seen, .owned = true };
	m->parts_end = &m->parts;
}

static bool list_add(struct arena *a, struct list *l, struct span s)
{
	if (l->count == l->room) {
		uint32_t room = l->room ? 2 * l->room : 8;
		struct span *more = arena_alloc(a, room * sizeof *more);

		if (!more)
			return false;
		if (l->count)
			memcpy(more, l->item, l->count * sizeof *more);
		l->item = more;
		l->room = room;
	}
	l->item[l->count++] = s;
	return true;
}

/* How many members are in a part; -EBADMSG. seen is as it was before the part. */
static int64_t count_in(struct members_seen seen, struct span list)
{
	struct members_item item;
	int64_t n = 0;
	int rc;

	while ((rc = members_next(&seen, &list, &item)) == 1)
		n += item.type == MEMBERS_TO;
	return rc ? rc : n;
}

static bool has_utf8(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] & 0x80)
			return true;
	return false;
}

/* Items of a part whose bytes are in the arena. */
static void keep_items(struct smtps_ta *ta, struct smtps_members *m, struct part *p,
		       struct span list)
{
	struct members_item item;

	while (members_next(&m->seen, &list, &item) == 1) {
		m->bytes += item.text.n + 4;
		if (item.type == MEMBERS_ROUTE) {
			m->no_memory |= !list_add(ta->arena, &m->routes, item.text);
		} else if (item.type == MEMBERS_OWNER) {
			m->no_memory |= !list_add(ta->arena, &m->owners, item.text);
			m->utf8 |= has_utf8(item.text);
		} else {
			p->to[p->count++] = (struct smtps_to){ .addr = item.text,
							       .route = item.route,
							       .owner = item.owner,
							       .member = true };
			m->utf8 |= has_utf8(item.text);
			m->owned &= item.owner != 0;
		}
	}
}

static bool fits(struct smtps_ta *ta, uint32_t count)
{
	return count <= ENV_RCPTS_MAX - ta->held_count &&
	       count <= SMTPS_MEMBERS_MAX - ta->host->member_count;
}

static void keep_part(struct smtps_ta *ta, struct smtps_members *m, uint32_t count,
		      struct span list)
{
	struct span own = arena_span(ta->arena, list);
	struct part *p = arena_alloc(ta->arena, sizeof *p + count * sizeof p->to[0]);

	if (!own.p || !p) {
		m->no_memory = true;
		return;
	}
	*p = (struct part){ .next = NULL };
	*m->parts_end = p;
	m->parts_end = &p->next;
	ta->held_count += count;
	ta->host->member_count += count;
	keep_items(ta, m, p, own);
}

/* Only counts, so that the answer is still checked. */
static void skip_part(struct smtps_members *m, struct span list)
{
	struct members_item item;

	while (members_next(&m->seen, &list, &item) == 1)
		;
}

int smtps_members_take(struct smtps_ta *ta, struct smtps_members **pm, uint32_t part,
		       struct span list)
{
	struct smtps_members *m = *pm;

	if (!m) {
		m = *pm = arena_alloc(ta->arena, sizeof *m);
		if (!m)
			return 0; /* the verdict will not fit */
		memset(m, 0, sizeof *m);
	}
	if (members_begin(&m->seen, part))
		return -EBADMSG;
	if (!part)
		begin(m);
	int64_t count = count_in(m->seen, list);
	if (count < 0)
		return (int)count;
	m->no_room |= !fits(ta, (uint32_t)count);
	if (m->no_room || m->no_memory)
		skip_part(m, list);
	else
		keep_part(ta, m, (uint32_t)count, list);
	return 0;
}

uint32_t smtps_members_count(const struct smtps_members *m)
{
	return m ? m->seen.count : 0;
}

/* RFC 3461 4: what must be written as +HH. */
static bool is_xchar(char c)
{
	return c > ' ' && c < 0x7f && c != '+' && c != '=';
}

/* The same for an address with UTF-8, RFC 6533 3. */
static struct span make_utf8_orcpt(struct arena *a, struct span addr)
{
	struct buf text = { 0 };
	struct span s = SPAN("");

	if (!buf_add_span(&text, SPAN("utf-8;")) && !xtext_utf8_encode(addr, &text) &&
	    buf_len(&text) <= ENV_ADDR_MAX)
		s = arena_span(a, buf_span(&text));
	buf_release(&text);
	return s.p ? s : SPAN("");
}

/* RFC 3461 5.2.7: the address that was given, for members that come without one. Empty when it is
 * too long, and without memory. */
static struct span make_orcpt(struct arena *a, struct span addr)
{
	static const char type[] = "rfc822;", digit[] = "0123456789ABCDEF";
	size_t n = sizeof type - 1;
	if (has_utf8(addr))
		return make_utf8_orcpt(a, addr);
	char *p = arena_alloc(a, n + 3 * addr.n);

	if (!p)
		return SPAN("");
	memcpy(p, type, n);
	for (size_t i = 0; i < addr.n; i++) {
		unsigned char c = (unsigned char)addr.p[i];

		if (is_xchar((char)c)) {
			p[n++] = (char)c;
		} else {
			p[n++] = '+';
			p[n++] = digit[c >> 4];
			p[n++] = digit[c & 15];
		}
	}
	return n > ENV_ADDR_MAX ? SPAN("") : span_of(p, n);
}

/* What an entry for a member names as its original recipient: the list, whose copy is a message of
 * its own, else what the client said. */
static struct span orcpt_of(const struct smtps_rcpt *r, const struct smtps_to *t)
{
	return t->owner || !r->orcpt.n ? r->members->orcpt : r->orcpt;
}

enum smtps_reply smtps_members_room(struct smtps_ta *ta, const struct smtps_rcpt *r)
{
	struct smtps_members *m = r->members;

	if (m->no_memory)
		return SMTPS_R_LOCAL;
	m->route = arena_alloc(ta->arena, m->routes.count * sizeof *m->route);
	m->owner = arena_alloc(ta->arena, (m->owners.count + 1) * sizeof *m->owner);
	if (!m->route || !m->owner)
		return SMTPS_R_LOCAL;
	m->orcpt = make_orcpt(ta->arena, r->to.addr);
	m->notice = (r->notify & ENV_NOTIFY_SUCCESS) && (m->owned || m->seen.count > 1);
	size_t orcpt = r->orcpt.n > m->orcpt.n ? r->orcpt.n : m->orcpt.n;
	uint32_t count = m->seen.count + m->notice;
	size_t bytes = m->bytes + count * orcpt + r->to.addr.n;
	bool room = !m->no_room && smtps_ta_has_room(ta, count, bytes) &&
		    m->owners.count <= ENV_OWNERS_MAX - ta->owner_count;
	return room ? SMTPS_R_OK : SMTPS_R_TOO_MANY_RCPTS;
}

/* Numbers of the answer become those of the transaction. */
static void map_numbers(struct smtps_ta *ta, struct smtps_members *m)
{
	for (uint32_t i = 0; i < m->routes.count; i++)
		m->route[i] = smtps_ta_route(ta, m->routes.item[i]);
	m->owner[0] = 0;
	for (uint32_t i = 0; i < m->owners.count; i++) {
		int n = smtps_ta_owner(ta, m->owners.item[i]);

		/* There was room: only without memory. Then the author hears of failures. */
		m->owner[i + 1] = n > 0 ? (uint16_t)n : 0;
	}
}

void smtps_members_add(struct smtps_ta *ta, struct smtps_rcpt *r)
{
	struct smtps_members *m = r->members;

	map_numbers(ta, m);
	for (struct part *p = m->parts; p; p = p->next)
		for (uint32_t i = 0; i < p->count; i++) {
			struct smtps_to *t = &p->to[i];

			t->route = t->route == ENV_NO_ROUTE ? ENV_NO_ROUTE : m->route[t->route];
			t->owner = m->owner[t->owner];
			smtps_ta_add_member(ta, t, orcpt_of(r, t));
		}
	ta->kept_count += m->notice;
	ta->utf8_members |= m->utf8;
}

/* RFC 3461 5.2.7.2 and 5.2.7.3: a single address takes all over; of several none promises success
 * to the author, who hears of the expansion. 5.2.7.1: a list is the end of it. */
static uint8_t notify_of(const struct smtps_rcpt *r, const struct smtps_to *t)
{
	uint8_t left = r->notify & ~(unsigned)ENV_NOTIFY_SUCCESS;

	if (t->owner)
		return 0;
	if (r->members->seen.count == 1 || !r->notify)
		return r->notify;
	return left ? left : ENV_NOTIFY_NEVER;
}

void smtps_members_put(const struct smtps_rcpt *r, struct envelope *e,
		       void (*put)(struct envelope *e, struct env_rcpt to))
{
	const struct smtps_members *m = r->members;

	if (m->notice)
		put(e, (struct env_rcpt){ .addr = r->to.addr,
					  .orcpt = r->orcpt,
					  .route = ENV_NO_ROUTE,
					  .notify = ENV_NOTIFY_SUCCESS,
					  .kind = m->owned ? ENV_KIND_LIST : ENV_KIND_EXPANDED });
	for (const struct part *p = m->parts; p; p = p->next)
		for (uint32_t i = 0; i < p->count; i++) {
			const struct smtps_to *t = &p->to[i];

			if (!t->discard)
				put(e, (struct env_rcpt){ .addr = t->addr,
							  .orcpt = orcpt_of(r, t),
							  .route = t->route,
							  .owner = t->owner,
							  .notify = notify_of(r, t) });
		}
}
