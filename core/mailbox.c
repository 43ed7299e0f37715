#include "core/mailbox.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *b)
{
	atomic_init(&b->head, NULL);
	atomic_init(&b->asleep, 0);
	b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return b->fd < 0 ? -errno : 0;
}

void mailbox_close(struct mailbox *b)
{
	close(b->fd);
	b->fd = -1;
}

static void push(struct mailbox *b, struct mail *own)
{
	struct mail *old = atomic_load_explicit(&b->head, memory_order_relaxed);

	do {
		own->next = old;
	} while (!atomic_compare_exchange_weak(&b->head, &old, own));
}

/* Only the post that finds it asleep pays for the wake-up. */
static void wake(struct mailbox *b)
{
	if (atomic_load(&b->asleep) && atomic_exchange(&b->asleep, 0)) {
		uint64_t one = 1;
		ssize_t n = write(b->fd, &one, sizeof one);

		(void)n;
	}
}

void mailbox_post(struct mailbox *b, struct mail *own)
{
	push(b, own);
	wake(b);
}

void mailbox_post_lazy(struct mailbox *b, struct mail *own, const atomic_bool *deep)
{
	push(b, own);
	if (atomic_load(deep))
		wake(b);
}

struct mail *mailbox_take(struct mailbox *b)
{
	if (!atomic_load_explicit(&b->head, memory_order_relaxed))
		return NULL;
	struct mail *m = atomic_exchange(&b->head, NULL);
	struct mail *out = NULL;
	while (m) {
		struct mail *next = m->next;

		m->next = out;
		out = m;
		m = next;
	}
	return out;
}

bool mailbox_sleep(struct mailbox *b)
{
	atomic_store(&b->asleep, 1);
	if (!atomic_load(&b->head))
		return true;
	atomic_store(&b->asleep, 0);
	return false;
}

void mailbox_wake(struct mailbox *b)
{
	atomic_store_explicit(&b->asleep, 0, memory_order_relaxed);
}

void mailbox_drain_fd(struct mailbox *b)
{
	uint64_t v;
	ssize_t n = read(b->fd, &v, sizeof v);

	(void)n;
}
