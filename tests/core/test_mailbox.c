#include "core/mailbox.h"

#include "core/thread.h"
#include "tests/tap.h"

#include <poll.h>
#include <stdlib.h>

enum { SENDERS = 4, PER_SENDER = 50000 };

struct letter {
	struct mail mail;
	unsigned sender, number;
};

static struct mailbox box;

static void send_all(void *arg)
{
	unsigned me = *(unsigned *)arg;

	for (unsigned i = 0; i < PER_SENDER; i++) {
		struct letter *l = malloc(sizeof *l);

		*l = (struct letter){ .sender = me, .number = i };
		mailbox_post(&box, &l->mail);
	}
}

/* As loops do: sleep only when nothing is there. False: nothing came for a long time, a wake-up was
 * lost. */
static bool wait_for_mail(void)
{
	struct pollfd p = { .fd = box.fd, .events = POLLIN };

	if (!mailbox_sleep(&box))
		return true;
	int n = poll(&p, 1, 20000);
	mailbox_wake(&box);
	if (n > 0)
		mailbox_drain_fd(&box);
	return n > 0;
}

static void test_threads(void)
{
	pthread_t t[SENDERS];
	unsigned id[SENDERS], next[SENDERS] = { 0 }, got = 0, disorder = 0;
	bool lost = false;

	for (unsigned i = 0; i < SENDERS; i++) {
		id[i] = i;
		thread_start(&t[i], "sender", THREAD_ANY_CPU, send_all, &id[i]);
	}
	while (got < SENDERS * PER_SENDER && !lost) {
		struct mail *m = mailbox_take(&box);

		lost = !m && !wait_for_mail();
		while (m) {
			struct letter *l = (struct letter *)m;

			m = m->next;
			disorder += next[l->sender]++ != l->number;
			got++;
			free(l);
		}
	}
	for (unsigned i = 0; i < SENDERS; i++)
		thread_join(t[i]);
	is_int(got, SENDERS * PER_SENDER, "every message of every thread arrives");
	is_int(disorder, 0, "in the order of its sender");
	ok(!lost && !mailbox_take(&box), "no wake-up is lost, nothing is left");
}

static bool readable(void)
{
	struct pollfd p = { .fd = box.fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

int main(void)
{
	struct mail a, b;

	is_int(mailbox_init(&box), 0, "init");
	ok(!mailbox_take(&box), "empty at first");
	mailbox_post(&box, &a);
	mailbox_post(&box, &b);
	ok(!readable(), "a receiver that is awake costs no system call");
	struct mail *m = mailbox_take(&box);
	ok(m == &a && m->next == &b && !b.next, "oldest first");
	ok(mailbox_sleep(&box), "it may sleep when nothing is there");
	mailbox_post(&box, &a);
	mailbox_post(&box, &b);
	ok(readable(), "a sleeper is woken");
	mailbox_wake(&box);
	mailbox_drain_fd(&box);
	ok(!readable() && mailbox_take(&box) == &a, "and finds its mail");
	mailbox_post(&box, &a);
	ok(!mailbox_sleep(&box) && mailbox_take(&box) == &a, "it may not sleep when mail is there");
	atomic_bool deep = false;
	ok(mailbox_sleep(&box), "asleep with a deadline");
	mailbox_post_lazy(&box, &a, &deep);
	ok(!readable(), "a lazy post leaves it asleep");
	mailbox_wake(&box);
	ok(mailbox_take(&box) == &a, "the mail is there when it wakes");
	atomic_store(&deep, true);
	ok(mailbox_sleep(&box), "asleep without one");
	mailbox_post_lazy(&box, &a, &deep);
	ok(readable(), "a lazy post wakes it");
	mailbox_wake(&box);
	mailbox_drain_fd(&box);
	ok(mailbox_take(&box) == &a, "with its mail");
	test_threads();
	mailbox_close(&box);
	return plan_done();
}
