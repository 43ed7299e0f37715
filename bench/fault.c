#include "bench/fault.h"
#include <errno.h>
#include <stdlib.h>
#include "bench/cli.h"
#include "bench/msgid.h"

static const struct span stages[FAULT_STAGES] = {
	[FAULT_CONNECT] = SPAN("connect"), [FAULT_HELO] = SPAN("helo"),
	[FAULT_MAIL] = SPAN("mail"),       [FAULT_RCPT] = SPAN("rcpt"),
	[FAULT_DATA] = SPAN("data"),       [FAULT_BODY] = SPAN("body"),
	[FAULT_DOT] = SPAN("dot"),         [FAULT_ACCEPTED] = SPAN("accepted"),
	[FAULT_RSET] = SPAN("rset"),       [FAULT_QUIT] = SPAN("quit"),
};

const char *fault_stage_name(enum fault_stage stage)
{
	return stages[stage].p;
}

const char *fault_kind_name(enum fault_kind kind)
{
	static const char *const names[] = { "fail", "delay", "drop", "stall" };

	return names[kind];
}

/* The part before the next colon; moves rest behind it. */
static struct span field(struct span *rest)
{
	size_t at = span_chr(*rest, ':');
	struct span f = span_head(*rest, at);

	*rest = at < rest->n ? span_from(*rest, at + 1) : span_from(*rest, rest->n);
	return f;
}

static int parse_stage(struct span s, enum fault_stage *out)
{
	if (span_caseeq(s, SPAN("ehlo")) || span_caseeq(s, SPAN("lhlo")))
		s = SPAN("helo");
	for (unsigned i = 0; i < FAULT_STAGES; i++)
		if (span_caseeq(s, stages[i])) {
			*out = (enum fault_stage)i;
			return 0;
		}
	return -EINVAL;
}

/* "450" or "450 4.7.1 text". */
static int parse_reply(struct span s, struct fault_rule *r)
{
	uint64_t code;

	if (s.n < 3 || span_u64(span_head(s, 3), 599, &code) || code < 400)
		return -EINVAL;
	if (s.n > 3 && s.p[3] != ' ')
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ')
			return -EINVAL;
	r->code = (unsigned)code;
	r->text = span_from(s, 4);
	return 0;
}

static int parse_rate(struct span s, struct fault_rule *r)
{
	char buf[24], *end;

	if (span_cstr(s, buf, sizeof(buf)) != s.n || s.n == 0)
		return -EINVAL;
	if (buf[s.n - 1] == '%') {
		r->chance = strtod(buf, &end) / 100;
		return s.n > 1 && end == buf + s.n - 1 && r->chance >= 0 && r->chance <= 1
			       ? 0
			       : -EINVAL;
	}
	if (buf[s.n - 1] == 'x')
		return span_u64(span_head(s, s.n - 1), UINT32_MAX, &r->first) || r->first == 0
			       ? -EINVAL
			       : 0;
	if (span_startswith(s, SPAN("1/")))
		return span_u64(span_from(s, 2), UINT32_MAX, &r->every) || r->every == 0 ? -EINVAL
											 : 0;
	return -EINVAL;
}

int fault_add(struct fault_set *f, enum fault_kind kind, const char *spec, const char **why)
{
	struct span rest = span_str(spec);

	if (f->n == FAULT_RULES) {
		*why = "too many rules";
		return -EINVAL;
	}
	struct fault_rule *r = &f->rule[f->n];
	r->kind = kind;
	r->chance = 1;
	*why = "stages are connect helo mail rcpt data body dot accepted rset quit";
	if (parse_stage(field(&rest), &r->stage))
		return -EINVAL;
	*why = "expected a reply such as 450 or \"550 5.1.1 text\"";
	if (kind == FAULT_FAIL && (parse_reply(field(&rest), r) || r->stage == FAULT_BODY))
		return -EINVAL;
	if (kind == FAULT_DELAY) {
		struct span t = field(&rest);
		*why = "expected a time such as 100ms or 2s; body can only drop or stall";
		if (cli_parse_time(t.p, t.n, &r->delay_usec) || r->stage == FAULT_BODY)
			return -EINVAL;
	}
	*why = "a rate is 10%, 1/50 (every 50th) or 20x (the first 20)";
	struct span rate = field(&rest);
	if (rate.n && parse_rate(rate, r))
		return -EINVAL;
	r->match = rest;
	f->has[r->stage] = true;
	f->n++;
	return 0;
}

static bool contains(struct span hay, struct span needle)
{
	for (size_t i = 0; i + needle.n <= hay.n; i++)
		if (span_caseeq(span_head(span_from(hay, i), needle.n), needle))
			return true;
	return false;
}

static bool strikes(struct fault_rule *r, struct span addr, uint64_t *rng)
{
	if (r->match.n && !contains(addr, r->match))
		return false;
	uint64_t visit = atomic_fetch_add_explicit(&r->visits, 1, memory_order_relaxed) + 1;
	if (r->every)
		return visit % r->every == 0;
	if (r->first)
		return visit <= r->first;
	if (r->chance >= 1)
		return true;
	*rng = msgid_mix(*rng);
	return (double)(*rng >> 11) * 0x1p-53 < r->chance;
}

void fault_ask(struct fault_set *f, enum fault_stage stage, struct span addr, uint64_t *rng,
	       struct fault_verdict *v)
{
	for (unsigned i = 0; i < f->n; i++) {
		struct fault_rule *r = &f->rule[i];
		if (r->stage != stage || (r->kind == FAULT_FAIL && v->fail) ||
		    !strikes(r, addr, rng))
			continue;
		atomic_fetch_add_explicit(&r->hits, 1, memory_order_relaxed);
		if (r->kind == FAULT_FAIL)
			v->fail = r;
		else if (r->kind == FAULT_DELAY)
			v->delay_usec += r->delay_usec;
		else if (r->kind == FAULT_DROP)
			v->drop = true;
		else
			v->stall = true;
	}
}
