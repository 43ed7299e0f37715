#include "core/ids.h"
#include "queue/qrow.h"
#include "queue/select_tree.h"

bool select_match_glob(struct span p, struct span s)
{
	size_t i = 0, k = 0, star = SIZE_MAX, mark = 0;

	while (k < s.n) {
		if (i < p.n && p.p[i] == '*') {
			star = i++;
			mark = k;
		} else if (i < p.n &&
			   (p.p[i] == '?' || ascii_lower(p.p[i]) == ascii_lower(s.p[k]))) {
			i++;
			k++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			k = ++mark;
		} else {
			return false;
		}
	}
	while (i < p.n && p.p[i] == '*')
		i++;
	return i == p.n;
}

static bool contains(struct span s, struct span part)
{
	for (size_t i = 0; i + part.n <= s.n; i++)
		if (span_caseeq(span_head(span_from(s, i), part.n), part))
			return true;
	return false;
}

bool select_match_has_glob(struct span s)
{
	return span_chr(s, '*') < s.n || span_chr(s, '?') < s.n;
}

static bool all_digits(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_isdigit(s.p[i]))
			return false;
	return s.n > 0;
}

static bool match_reply(const struct value *v, struct span reply)
{
	struct span t = v->text;

	if (v->none || !reply.n)
		return v->none && !reply.n;
	if (t.n == 3 && ascii_isdigit(t.p[0]) && span_caseeq(span_from(t, 1), SPAN("xx")))
		return reply.p[0] == t.p[0];
	if (t.n == 3 && all_digits(t))
		return span_startswith(reply, t);
	return select_match_has_glob(t) ? select_match_glob(t, reply) : contains(reply, t);
}

static bool match_host(const struct value *v, const struct route *r)
{
	if (!r || v->none)
		return !r && v->none;
	if (v->mailer != ANY_MAILER && v->mailer != r->mailer)
		return false;
	if (v->any_host)
		return true;
	for (unsigned i = 0; i < r->count; i++) {
		const struct addr *a = &r->host[i];

		if (addr_net_has(&v->net, a) &&
		    (!v->port || v->port == (a->port ? a->port : DEFAULT_PORT)))
			return true;
	}
	return false;
}

static struct span domain_of(struct span addr)
{
	size_t at = span_rchr(addr, '@');

	return span_from(addr, at + 1);
}

static bool match_id(const struct value *v, uint64_t id)
{
	char text[ID_TEXT_MAX];

	if (v->exact)
		return v->number == id;
	return select_match_glob(v->text, span_of(text, id_text(id, text)));
}

/* By the address it has, or by the one that the client gave. */
static bool match_to(struct span pattern, const struct select_row *row)
{
	char text[ENV_ADDR_MAX];

	if (select_match_glob(pattern, row->rcpt))
		return true;
	struct span original = qrow_original(row->orcpt, text);
	return original.n && select_match_glob(pattern, original);
}

static bool match_value(const struct node *t, const struct value *v, const struct select_row *row)
{
	switch (t->key) {
	case SELECT_ID:
		return match_id(v, row->id);
	case SELECT_FROM:
		return select_match_glob(v->text, row->sender);
	case SELECT_TO:
		return match_to(v->text, row);
	case SELECT_DOMAIN:
		return select_match_glob(v->text, domain_of(row->rcpt));
	case SELECT_HOST:
		return match_host(v, row->route);
	case SELECT_CLIENT:
		return addr_net_has(&v->net, &row->client);
	case SELECT_REPLY:
		return match_reply(v, row->reply);
	case SELECT_STATE:
		return (row->state & v->number) != 0;
	default:
		return true;
	}
}

static bool compare(uint8_t op, uint64_t a, uint64_t b)
{
	switch (op) {
	case OP_LESS:
		return a < b;
	case OP_MORE:
		return a > b;
	case OP_UPTO:
		return a <= b;
	case OP_FROM:
		return a >= b;
	default:
		return a == b;
	}
}

static bool match_term(const struct node *t, const struct select_row *row)
{
	uint64_t number = t->key == SELECT_AGE ? (row->age_usec > 0 ? (uint64_t)row->age_usec : 0)
			  : t->key == SELECT_SIZE ? row->size_bytes
						  : row->attempts;
	bool numeric = t->key == SELECT_AGE || t->key == SELECT_SIZE || t->key == SELECT_ATTEMPTS;
	bool any = t->key == SELECT_ALL;

	for (const struct value *v = t->values; v && !any; v = v->next)
		any = numeric ? compare(t->op, number, v->number) : match_value(t, v, row);
	return t->op == OP_NOT ? !any : any;
}

/* Depth: that of the parentheses, SELECT_DEPTH_MAX. */
static bool match_node(const struct node *n, const struct select_row *row)
{
	if (n->kind == NODE_TERM)
		return match_term(n, row);
	if (n->kind == NODE_NOT)
		return !match_node(n->child, row);
	for (const struct node *c = n->child; c; c = c->next)
		if (match_node(c, row) != (n->kind == NODE_AND))
			return n->kind == NODE_OR;
	return n->kind == NODE_AND;
}

bool select_match(const struct select *s, const struct select_row *row)
{
	return !s->root || match_node(s->root, row);
}
