#include "core/buf.h"

#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

/* Random adds and eats against a plain array. */
static void test_model(void)
{
	static char model[1 << 20];
	size_t from = 0, to = 0;
	struct buf b = { 0 };
	unsigned bad = 0;

	srandom(7);
	for (unsigned i = 0; i < 20000; i++) {
		char piece[700];
		size_t n = (size_t)random() % sizeof piece;

		if (random() % 2 && to + n <= sizeof model) {
			for (size_t k = 0; k < n; k++)
				piece[k] = (char)random();
			bad += buf_add(&b, piece, n) != 0;
			memcpy(model + to, piece, n);
			to += n;
		} else {
			n = to - from ? (size_t)random() % (to - from + 1) : 0;
			buf_eat(&b, n);
			from += n;
		}
		bad += buf_len(&b) != to - from ||
		       memcmp(buf_span(&b).p ? buf_span(&b).p : "", model + from, to - from);
	}
	ok(!bad, "random adds and eats keep order and content");
	buf_release(&b);
	ok(!b.p && !b.cap && !buf_len(&b), "release leaves nothing");
}

int main(void)
{
	struct buf b = { 0 };
	char big[3000];

	ok(buf_len(&b) == 0 && !b.p, "an empty buffer holds no memory");
	is_int(buf_add(&b, NULL, 0), 0, "adding nothing");
	is_int(buf_add_span(&b, SPAN("hello ")), 0, "add a span");
	is_int(buf_printf(&b, "%s-%d", "x", 42), 0, "add formatted text");
	is_mem(buf_span(&b).p, buf_len(&b), "hello x-42", 10, "content");
	buf_eat(&b, 6);
	is_mem(buf_span(&b).p, buf_len(&b), "x-42", 4, "rest after eating");
	buf_eat(&b, 4);
	ok(b.r == 0 && b.w == 0, "eating all begins again at 0");
	memset(big, 'y', sizeof big - 1);
	big[sizeof big - 1] = 0;
	is_int(buf_printf(&b, "<%s>", big), 0, "formatted text longer than the small buffer");
	ok(buf_len(&b) == sizeof big + 1 && buf_span(&b).p[sizeof big] == '>', "it is complete");
	ok(!buf_room(&b, (size_t)1 << 31), "over 1 GB there is no room");
	is_int(buf_add(&b, big, (size_t)1 << 40), -ENOMEM, "nor can so much be added");
	is_int((int64_t)buf_len(&b), (int64_t)sizeof big + 1, "a refused add changes nothing");
	buf_release(&b);
	test_model();
	return plan_done();
}
