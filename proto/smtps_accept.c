#include "proto/smtps_accept.h"

#include "core/addr.h"
#include "core/log.h"
#include "core/sock.h"
#include "proto/smtps_stats.h"

#include <errno.h>
#include <unistd.h>

enum { RETRY_USEC = 100000 };

#define OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static void disarm(struct smtps_accept *a)
{
	for (unsigned i = 0; i < a->count; i++)
		loop_io_del(a->loop, &a->at[i].io);
	a->armed = false;
}

static void arm(struct smtps_accept *a)
{
	a->armed = true;
	for (unsigned i = 0; i < a->count; i++) {
		int rc = loop_io_add(a->loop, &a->at[i].io, a->at[i].fd, EPOLLIN | EPOLLEXCLUSIVE);

		if (rc) {
			log_event(LOG_LV_ERROR, LOG_SEV_ERR, "accept",
				  "stat=cannot watch, error=%d", -rc);
			disarm(a);
			loop_timer_after(a->loop, &a->retry, RETRY_USEC);
			return;
		}
	}
}

void smtps_accept_update(struct smtps_accept *a)
{
	bool wait = a->starved;
	bool may = !a->starved && a->may(a, &wait);

	if (may && !a->armed)
		arm(a);
	else if (!may && a->armed)
		disarm(a);
	if (!may && wait && !timer_isset(&a->retry))
		loop_timer_after(a->loop, &a->retry, RETRY_USEC);
}

static void retry_fired(struct timer *t)
{
	struct smtps_accept *a = OF(t, struct smtps_accept, retry);

	a->starved = false;
	smtps_accept_update(a);
}

/* accept() failed. True: try again at once. */
static bool failed(struct smtps_accept *a, int error)
{
	if (sock_is_shortage(error)) {
		stats_add(SMTPS_ST_accept_errors, 1);
		a->starved = true;
		smtps_accept_update(a);
		return false;
	}
	/* accept(2): errors of the new connection are reported here too. */
	return error != EAGAIN;
}

static void ready(struct loop_io *io, uint32_t events)
{
	struct smtps_listener *l = OF(io, struct smtps_listener, io);
	struct smtps_accept *a = l->a;

	(void)events;
	for (unsigned left = a->batch(a); left && a->armed; left--) {
		struct sockaddr_storage ss = { 0 };
		socklen_t n = sizeof ss;
		int fd = accept4(l->fd, (struct sockaddr *)&ss, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (!failed(a, errno))
				return;
			continue;
		}
		struct addr client;
		addr_from_sockaddr((struct sockaddr *)&ss, &client);
		a->take(a, fd, &client, l->local);
		smtps_accept_update(a);
	}
}

void smtps_accept_init(struct smtps_accept *a, struct loop *l, const struct smtps_shared *sh)
{
	a->loop = l;
	a->retry.fn = retry_fired;
	a->count = sh->listen_count;
	for (unsigned i = 0; i < a->count; i++)
		a->at[i] = (struct smtps_listener){ .io = { .fd = -1, .fn = ready },
						    .a = a,
						    .fd = sh->listen_fd[i],
						    .local = sh->listen_local[i] };
}

void smtps_accept_stop(struct smtps_accept *a)
{
	disarm(a);
	loop_timer_stop(a->loop, &a->retry);
	a->count = 0;
}
