/*
 * core/wire.h - little-endian numbers and counted strings, to and from bytes.
 *
 * Both sides keep a sticky error, so that callers check once at the end. A reader hands out spans
 * into the bytes it reads. Formats: u8 u16 u32 u64, str = u32 length + bytes.
 */
#ifndef CORE_WIRE_H
#define CORE_WIRE_H
#include "core/span.h"

struct wire_w {
	char *p;
	size_t n; /* bytes written, also beyond cap: what would have been needed */
	size_t cap;
};

struct wire_r {
	const char *p;
	const char *end;
	bool bad; /* something did not fit; all later values are 0 and empty */
};

static inline struct wire_w wire_writer(void *p, size_t cap)
{
	return (struct wire_w){ p, 0, cap };
}

static inline struct wire_r wire_reader(struct span s)
{
	return (struct wire_r){ s.p, s.p + s.n, false };
}

static inline void wire_put(struct wire_w *w, const void *v, size_t n)
{
	if (n && n <= w->cap && w->n <= w->cap - n)
		memcpy(w->p + w->n, v, n);
	w->n += n;
}

static inline bool wire_overflow(const struct wire_w *w)
{
	return w->n > w->cap;
}

/* x86 and arm64 are little-endian; the build refuses others. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "formats are little-endian");

static inline void wire_put_u8(struct wire_w *w, uint8_t v)
{
	wire_put(w, &v, 1);
}

static inline void wire_put_u16(struct wire_w *w, uint16_t v)
{
	wire_put(w, &v, 2);
}

static inline void wire_put_u32(struct wire_w *w, uint32_t v)
{
	wire_put(w, &v, 4);
}

static inline void wire_put_u64(struct wire_w *w, uint64_t v)
{
	wire_put(w, &v, 8);
}

static inline void wire_put_str(struct wire_w *w, struct span s)
{
	wire_put_u32(w, (uint32_t)s.n);
	wire_put(w, s.p, s.n);
}

static inline bool wire_get(struct wire_r *r, void *v, size_t n)
{
	if (r->bad || (size_t)(r->end - r->p) < n) {
		r->bad = true;
		memset(v, 0, n);
		return false;
	}
	memcpy(v, r->p, n);
	r->p += n;
	return true;
}

static inline uint8_t wire_get_u8(struct wire_r *r)
{
	uint8_t v;

	wire_get(r, &v, 1);
	return v;
}

static inline uint16_t wire_get_u16(struct wire_r *r)
{
	uint16_t v;

	wire_get(r, &v, 2);
	return v;
}

static inline uint32_t wire_get_u32(struct wire_r *r)
{
	uint32_t v;

	wire_get(r, &v, 4);
	return v;
}

static inline uint64_t wire_get_u64(struct wire_r *r)
{
	uint64_t v;

	wire_get(r, &v, 8);
	return v;
}

static inline struct span wire_get_str(struct wire_r *r)
{
	uint32_t n = wire_get_u32(r);

	if (r->bad || (size_t)(r->end - r->p) < n) {
		r->bad = true;
		return (struct span){ "", 0 };
	}
	struct span s = { r->p, n };
	r->p += n;
	return s;
}

/* All was read, nothing is left over. */
static inline bool wire_done(const struct wire_r *r)
{
	return !r->bad && r->p == r->end;
}

#endif
