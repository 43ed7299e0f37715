#include "core/msg.h"

#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

/* Fills each field of each row with something, differently by i. */
static uint64_t next_value(void)
{
	static uint64_t v = 0x9e3779b97f4a7c15;

	v ^= v << 13;
	v ^= v >> 7;
	v ^= v << 17;
	return v;
}

static struct addr some_addr(void)
{
	struct addr a = { 0 };
	uint64_t v = next_value();

	if (v % 3)
		addr_parse(v % 3 == 1 ? SPAN("192.0.2.1") : SPAN("2001:db8::7"), &a);
	if (a.family)
		a.port = (uint16_t)(v >> 8);
	return a;
}

static struct span some_str(void)
{
	static const char text[] = "the quick brown fox \0 jumps over the lazy dog";

	return span_of(text, next_value() % sizeof text);
}

#define SOME_u8         (uint8_t) next_value()
#define SOME_u16        (uint16_t) next_value()
#define SOME_u32        (uint32_t) next_value()
#define SOME_u64        next_value()
#define SOME_addr       some_addr()
#define SOME_str        some_str()
#define SAME_u8(a, b)   ((a) == (b))
#define SAME_u16(a, b)  ((a) == (b))
#define SAME_u32(a, b)  ((a) == (b))
#define SAME_u64(a, b)  ((a) == (b))
#define SAME_addr(a, b) addr_eq(&(a), &(b))
#define SAME_str(a, b)  span_eq(a, b)

/* One message there and back; the number of things that are wrong. Cuts and random changes are
 * tried on a copy of the exact size, so that a sanitizer sees what reads beyond it. */
#define F(type, name) m.name = SOME_##type;
#define M(name, number, fields)                                                                    \
	static void fill_##name(struct msg_##name *out)                                            \
	{                                                                                          \
		struct msg_##name m;                                                               \
		fields *out = m;                                                                   \
	}
#include "core/msg.def"
#undef F
#undef M

#define F(type, name) same = same && SAME_##type(a->name, b->name);
#define M(name, number, fields)                                                                    \
	static bool same_##name(const struct msg_##name *a, const struct msg_##name *b)            \
	{                                                                                          \
		bool same = true;                                                                  \
		fields return same;                                                                \
	}
#include "core/msg.def"
#undef F
#undef M

#define M(name, number, fields)                                                                    \
	static unsigned try_##name(void)                                                           \
	{                                                                                          \
		struct msg_##name m, back;                                                         \
		struct buf b = { 0 }, again = { 0 };                                               \
		unsigned bad = 0;                                                                  \
		fill_##name(&m);                                                                   \
		bad += msg_##name##_encode(&m, &b) != 0;                                           \
		bad += msg_##name##_decode(buf_span(&b), &back) != 0 || !same_##name(&m, &back);   \
		for (size_t cut = 0; cut <= buf_len(&b); cut++) {                                  \
			char *copy = malloc(cut + 1);                                              \
			memcpy(copy, b.p, cut);                                                    \
			if (cut < buf_len(&b))                                                     \
				bad += msg_##name##_decode(span_of(copy, cut), &back) != -EBADMSG; \
			for (unsigned k = 0; k < 8 && cut; k++) {                                  \
				copy[next_value() % cut] = (char)next_value();                     \
				if (!msg_##name##_decode(span_of(copy, cut), &back)) {             \
					again.r = again.w = 0;                                     \
					bad += msg_##name##_encode(&back, &again) != 0;            \
					bad += buf_len(&again) != cut;                             \
				}                                                                  \
			}                                                                          \
			free(copy);                                                                \
		}                                                                                  \
		buf_add(&b, "", 1);                                                                \
		bad += msg_##name##_decode(buf_span(&b), &back) != -EBADMSG;                       \
		buf_release(&b);                                                                   \
		buf_release(&again);                                                               \
		return bad;                                                                        \
	}
#include "core/msg.def"
#undef M

static void test_all(void)
{
	unsigned bad;

#define M(name, number, fields)                                                                    \
	bad = 0;                                                                                   \
	for (unsigned i = 0; i < 50; i++)                                                          \
		bad += try_##name();                                                               \
	ok(!bad, "%s: there and back, cut, longer, changed", #name);                               \
	ok(MSG_##name == number && !strcmp(msg_name(number), #name), "%s has its name", #name);
#include "core/msg.def"
#undef M
	is_str(msg_name(0), "?", "0 has no name");
	is_str(msg_name(65535), "?", "nor has an unknown number");
}

static void test_results(void)
{
	struct msg_rcpt_result r = { .idx = 7,
				     .outcome = MSG_FAILED,
				     .stage = MSG_AT_RCPT,
				     .reply = SPAN("550 5.1.1 no such user") };
	struct msg_rcpt_result got;
	char big[3000];
	struct buf b = { 0 };

	memset(big, 'x', sizeof big);
	is_int(msg_rcpt_result_add(&b, &r), 0, "add a result");
	r.idx = 8;
	r.reply = span_of(big, sizeof big);
	is_int(msg_rcpt_result_add(&b, &r), 0, "add one with an endless reply");
	struct span rest = buf_span(&b);
	ok(msg_rcpt_result_next(&rest, &got) == 1 && got.idx == 7 && got.outcome == MSG_FAILED &&
		   got.stage == MSG_AT_RCPT && span_eq(got.reply, SPAN("550 5.1.1 no such user")),
	   "the first one");
	ok(msg_rcpt_result_next(&rest, &got) == 1 && got.idx == 8 && got.reply.n == 1000,
	   "the second one, cut");
	is_int(msg_rcpt_result_next(&rest, &got), 0, "the end");
	rest = span_head(buf_span(&b), 20);
	is_int(msg_rcpt_result_next(&rest, &got), -EBADMSG, "a result that is cut off");
	b.p[4] = 3;
	rest = buf_span(&b);
	is_int(msg_rcpt_result_next(&rest, &got), -EBADMSG, "an unknown outcome");
	b.p[4] = 0;
	b.p[5] = MSG_AT_CONTENT + 1;
	rest = buf_span(&b);
	is_int(msg_rcpt_result_next(&rest, &got), -EBADMSG, "an unknown stage");
	buf_release(&b);

	for (unsigned s = 0; s <= MSG_AT_CONTENT; s++)
		ok(strcmp(msg_stage_name(s), "?") != 0, "stage %u is %s", s, msg_stage_name(s));
	is_str(msg_stage_name(MSG_AT_CONTENT + 1), "?", "no other has a name");
}

int main(void)
{
	test_all();
	test_results();
	return plan_done();
}
