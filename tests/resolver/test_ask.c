#include "resolver/ask.h"

#include "tests/resolver/ask_fixture.h"

#include "core/err.h"

static struct ask *waiting[8];
static unsigned waiting_count;
static char answer_text[200];
static unsigned answers;
static int owner;

static enum ask_next first(struct ask *a)
{
	a->text = SPAN("from the first step");
	a->route = span_of(a->hit.bytes, 3);
	memcpy(a->hit.bytes, "abc", 3);
	a->may_relay = true;
	return ASK_NEXT;
}

static enum ask_next wait_here(struct ask *a)
{
	struct ask *p = ask_park(a);

	if (!p)
		return ask_error(a, SPAN("451 4.3.2 too many wait"));
	waiting[waiting_count++] = p;
	return ASK_WAIT;
}

static enum ask_next last(struct ask *a)
{
	a->quick = true;
	return ASK_DONE;
}

static enum ask_next never(struct ask *a)
{
	(void)a;
	panic("a step behind the last one");
}

static ask_step *const one_wait[] = { first, wait_here, last, never, NULL };
static ask_step *const two_waits[] = { first, wait_here, wait_here, last, NULL };
static ask_step *const to_the_end[] = { first, NULL };

static void answer(struct ask *a)
{
	answers++;
	snprintf(answer_text, sizeof answer_text, "%d %d %.*s|%.*s|%.*s|%.*s|%.*s", a->quick,
		 a->may_relay, (int)a->subject.n, a->subject.p, (int)a->sender.n, a->sender.p,
		 (int)a->text.n, a->text.p, (int)a->route.n, a->route.p,
		 a->box_rc ? 0 : (int)a->box.domain.n, a->box.domain.p);
}

/* The question's strings are gone when this returns. */
static void ask(ask_step *const *steps)
{
	char subject[] = "user@dom.test", sender[] = "me@here.test";
	struct ask a;

	ask_init(&a, &ask_fixture_loop, steps);
	a.subject = span_str(subject);
	a.sender = span_str(sender);
	a.answer = answer;
	a.owner = &owner;
	ask_run(&a);
	memset(subject, 'x', sizeof subject);
	memset(sender, 'x', sizeof sender);
	memset(&a, 'x', sizeof a);
}

static struct ask *take(void)
{
	return waiting[--waiting_count];
}

int main(void)
{
	static const char want[] =
		"1 1 user@dom.test|me@here.test|from the first step|abc|dom.test";

	thread_main_register();
	ask(to_the_end);
	is_int(answers, 1, "without waiting the answer comes at once");

	ask(one_wait);
	is_int(answers, 1, "a waiting question has no answer");
	is_int(ask_fixture_loop.parked_count, 1, "it is parked");
	ask_resume(take());
	is_int(answers, 2, "then it has");
	is_str(answer_text, want, "with all that it knew before");
	is_int(ask_fixture_loop.parked_count, 0, "and is gone");

	ask(two_waits);
	ask_resume(take());
	is_int(answers, 2, "it waits again");
	is_int(ask_fixture_loop.parked_count, 1, "parked once");
	ask_resume(take());
	is_int(answers, 3, "and is answered");
	is_str(answer_text, want, "still with all that it knew");

	for (int i = 0; i < 4; i++)
		ask(one_wait);
	ask(one_wait);
	is_int(answers, 4, "one more than may wait is answered at once");
	ok(strstr(answer_text, "451 4.3.2 too many wait"), "with a temporary error");
	ask_forget_owner(&ask_fixture_loop, &owner);
	ask_resume(take());
	ask_resume(take());
	is_int(answers, 4, "who is gone gets no answer");
	is_int(ask_fixture_loop.parked_count, 2, "but the questions go");
	ask_drop_all(&ask_fixture_loop);
	is_int(ask_fixture_loop.parked_count, 0, "all go at the end");
	return plan_done();
}
