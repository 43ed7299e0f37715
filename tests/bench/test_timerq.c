#include "bench/timerq.h"

#include "tests/tap.h"

#include "bench/msgid.h"

enum { N = 1000 };

static void test_order(void)
{
	struct timerq q = { 0 };
	static struct timerq_node node[N];
	usec_t last = -1;
	unsigned out = 0, wrong = 0;

	for (unsigned i = 0; i < N; i++)
		timerq_set(&q, &node[i], (usec_t)(msgid_mix(i) % 5000));
	for (unsigned i = 0; i < N; i += 3) /* move some */
		timerq_set(&q, &node[i], (usec_t)(msgid_mix(i + N) % 5000));
	for (unsigned i = 0; i < N; i += 5) /* take some out */
		timerq_cancel(&q, &node[i]);
	for (struct timerq_node *t; (t = timerq_pop(&q, 5000)); out++) {
		wrong += t->due_usec < last || t->at;
		last = t->due_usec;
	}
	is_int(out, N - N / 5, "all that were not cancelled come out");
	is_int(wrong, 0, "in order, and are not armed any more");
	timerq_free(&q);
}

static void test_due(void)
{
	struct timerq q = { 0 };
	struct timerq_node a = { 0 }, b = { 0 };

	is_int(timerq_next(&q, 77), 77, "nothing armed: the other value");
	ok(timerq_pop(&q, 1000) == NULL, "nothing to pop");
	timerq_set(&q, &a, 100);
	timerq_set(&q, &b, 50);
	is_int(timerq_next(&q, 77), 50, "the earliest");
	is_int(timerq_next(&q, 20), 20, "unless the other value is earlier");
	ok(timerq_pop(&q, 49) == NULL, "not before its time");
	ok(timerq_pop(&q, 50) == &b, "at its time");
	ok(timerq_pop(&q, 99) == NULL && timerq_pop(&q, 200) == &a, "the other later");
	timerq_cancel(&q, &a);
	ok(timerq_pop(&q, 1000) == NULL, "cancelling what is not armed does nothing");
	timerq_free(&q);
}

int main(void)
{
	test_order();
	test_due();
	return plan_done();
}
