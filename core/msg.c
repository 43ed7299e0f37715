#include "core/msg.h"

#include <errno.h>

static void put_addr(struct wire_w *w, struct addr a)
{
	wire_put_u8(w, a.family);
	wire_put_u16(w, a.port);
	if (a.family)
		wire_put(w, a.ip, a.family == ADDR_IPV4 ? 4 : 16);
}

static struct addr get_addr(struct wire_r *r)
{
	struct addr a = { .family = wire_get_u8(r) };

	a.port = wire_get_u16(r);
	if (a.family != ADDR_NONE && a.family != ADDR_IPV4 && a.family != ADDR_IPV6)
		r->bad = true;
	else if (a.family)
		wire_get(r, a.ip, a.family == ADDR_IPV4 ? 4 : 16);
	return a;
}

#define PUT_u8(w, v)   wire_put_u8(w, v)
#define PUT_u16(w, v)  wire_put_u16(w, v)
#define PUT_u32(w, v)  wire_put_u32(w, v)
#define PUT_u64(w, v)  wire_put_u64(w, v)
#define PUT_addr(w, v) put_addr(w, v)
#define PUT_str(w, v)  wire_put_str(w, v)
#define GET_u8(r)      wire_get_u8(r)
#define GET_u16(r)     wire_get_u16(r)
#define GET_u32(r)     wire_get_u32(r)
#define GET_u64(r)     wire_get_u64(r)
#define GET_addr(r)    get_addr(r)
#define GET_str(r)     wire_get_str(r)

#define F(type, name) PUT_##type(&w, m->name);
#define M(name, number, fields)                                                                    \
	int msg_##name##_encode(const struct msg_##name *m, struct buf *out)                       \
	{                                                                                          \
		struct wire_w w = wire_writer(NULL, 0);                                            \
		fields char *to = buf_room(out, w.n);                                              \
		if (!to)                                                                           \
			return -ENOMEM;                                                            \
		w = wire_writer(to, w.n);                                                          \
		fields buf_wrote(out, w.n);                                                        \
		return 0;                                                                          \
	}
#include "core/msg.def"
#undef M
#undef F

#define F(type, name) m.name = GET_##type(&r);
#define M(name, number, fields)                                                                    \
	int msg_##name##_decode(struct span s, struct msg_##name *out)                             \
	{                                                                                          \
		struct wire_r r = wire_reader(s);                                                  \
		struct msg_##name m;                                                               \
		fields if (!wire_done(&r)) return -EBADMSG;                                        \
		*out = m;                                                                          \
		return 0;                                                                          \
	}
#include "core/msg.def"
#undef M
#undef F

const char *msg_name(unsigned number)
{
	switch (number) {
#define F(type, name)
#define M(name, num, fields)                                                                       \
	case num:                                                                                  \
		return #name;
#include "core/msg.def"
#undef M
#undef F
	default:
		return "?";
	}
}

const char *msg_stage_name(unsigned stage)
{
	static const char *const name[] = { "CONNECT", "GREETING", "EHLO", "STARTTLS", "AUTH",
					    "MAIL",    "RCPT",     "DATA", "DATA",     "CONTENT" };

	return stage < sizeof name / sizeof name[0] ? name[stage] : "?";
}

enum { REPLY_MAX = 1000 };

int msg_rcpt_result_add(struct buf *rcpts, const struct msg_rcpt_result *r)
{
	char head[16 + REPLY_MAX];
	struct wire_w w = wire_writer(head, sizeof head);

	wire_put_u32(&w, r->idx);
	wire_put_u8(&w, r->outcome);
	wire_put_u8(&w, r->stage);
	wire_put_str(&w, span_head(r->reply, REPLY_MAX));
	return buf_add(rcpts, head, w.n);
}

int msg_rcpt_result_next(struct span *rest, struct msg_rcpt_result *out)
{
	struct wire_r r = wire_reader(*rest);

	if (!rest->n)
		return 0;
	out->idx = wire_get_u32(&r);
	out->outcome = wire_get_u8(&r);
	out->stage = wire_get_u8(&r);
	out->reply = wire_get_str(&r);
	if (r.bad || out->outcome > MSG_FAILED || out->stage > MSG_AT_CONTENT ||
	    out->reply.n > REPLY_MAX)
		return -EBADMSG;
	rest->n = (size_t)(r.end - r.p);
	rest->p = r.p;
	return 1;
}
