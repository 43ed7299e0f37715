#include "resolver/ask.h"

#include "resolver/smar_stats.h"

#include "core/log.h"

#include <errno.h>
#include <stdlib.h>

void ask_init(struct ask *a, struct ask_loop *loop, ask_step *const *steps)
{
	/* What is behind it is large and always written before it is read. */
	memset(a, 0, offsetof(struct ask, box_rc));
	a->loop = loop;
	a->step = steps;
	a->action = MSG_ACT_CONT;
}

/* True: the answer is complete. */
static bool take_steps(struct ask *a)
{
	a->maps = mapset_current_rcu();
	a->box_rc = address_split(a->subject, &a->box);
	while (*a->step) {
		ask_step *step = *a->step++;
		enum ask_next next = step(a);

		if (next == ASK_WAIT)
			return false;
		if (next == ASK_DONE)
			break;
	}
	return true;
}

static void release(struct ask *a)
{
	if (a->held)
		a->release(a->held);
	a->held = NULL;
}

void ask_run(struct ask *a)
{
	if (take_steps(a))
		a->answer(a);
	release(a);
}

/* Moves what s points to to *p. */
static void move(struct span *s, char **p)
{
	if (s->n)
		memcpy(*p, s->p, s->n);
	s->p = *p;
	*p += s->n;
}

struct ask *ask_park(struct ask *a)
{
	struct ask_loop *l = a->loop;
	struct ask *copy;

	if (l->parked_count >= l->max_parked)
		return NULL;
	copy = malloc(sizeof *copy + a->sender.n + a->subject.n + a->text.n + a->route.n);
	if (!copy)
		return NULL;
	memcpy(copy, a, offsetof(struct ask, box_rc));
	char *p = (char *)(copy + 1);
	move(&copy->sender, &p);
	move(&copy->subject, &p);
	move(&copy->text, &p);
	move(&copy->route, &p);
	a->held = NULL;
	copy->maps = NULL;
	copy->next = l->parked;
	copy->prev = &l->parked;
	if (copy->next)
		copy->next->prev = &copy->next;
	l->parked = copy;
	l->parked_count++;
	stats_add(SMAR_STAT_waiting, 1);
	return copy;
}

void ask_unpark(struct ask *a)
{
	release(a);
	*a->prev = a->next;
	if (a->next)
		a->next->prev = a->prev;
	a->loop->parked_count--;
	stats_add(SMAR_STAT_waiting, (uint64_t)-1);
	free(a);
}

void ask_resume(struct ask *own)
{
	struct ask a;

	/* On the stack again, as steps expect; `own` keeps what the spans point to until the answer
	 * is out. */
	memcpy(&a, own, offsetof(struct ask, box_rc));
	if (own->owner) {
		own->held = NULL;
		ask_run(&a);
	}
	ask_unpark(own);
}

void ask_forget_owner(struct ask_loop *l, const void *owner)
{
	for (struct ask *a = l->parked; a; a = a->next)
		if (a->owner == owner)
			a->owner = NULL;
}

void ask_drop_all(struct ask_loop *l)
{
	while (l->parked)
		ask_unpark(l->parked);
}

enum ask_next ask_error(struct ask *a, struct span text)
{
	a->action = MSG_ACT_ERROR;
	a->quick = false;
	a->text = text;
	return ASK_DONE;
}

enum ask_next ask_access_value(struct ask *a, int rc, struct access_value *out)
{
	if (!rc)
		return ASK_NEXT;
	*out = (struct access_value){ .action = MSG_ACT_CONT };
	if (rc == -ENOENT)
		return ASK_NEXT;
	log_event(LOG_LV_ERROR, LOG_SEV_ERR, "access", "map=access, stat=%s",
		  rc == -EINVAL ? "entry has no valid value" : "cannot be read");
	return ask_error(a, SPAN(MSG_TEXT_CONFIG));
}

enum ask_next ask_take_value(struct ask *a, const struct access_value *v)
{
	a->action = v->action;
	a->quick = v->quick;
	if (v->action == MSG_ACT_ERROR)
		a->text = access_reply(v, a->text_bytes);
	return ASK_DONE;
}
