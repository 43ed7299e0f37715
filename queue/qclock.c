#include "queue/qclock.h"

#include "core/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { FORMAT = 1, ARRIVAL_MAX_SEC = 3600 };

/* The end of the last life, as far as it is known; 0: there was none. */
static usec_t last_queue;

usec_t qclock_resume(const struct qclock *last, const struct qclock *now, usec_t gap_max)
{
	usec_t gap = now->wall - last->wall;

	if (last->boot[0] && !strcmp(last->boot, now->boot) && now->mono >= last->mono)
		return last->queue + (now->mono - last->mono);
	if (gap < 0)
		gap = 0;
	return last->queue + (gap < gap_max ? gap : gap_max);
}

void qclock_encode(const struct qclock *c, char *dst)
{
	struct wire_w w = wire_writer(dst, QCLOCK_BYTES);

	wire_put_u8(&w, FORMAT);
	wire_put_u64(&w, (uint64_t)c->queue);
	wire_put_u64(&w, (uint64_t)c->wall);
	wire_put_u64(&w, (uint64_t)c->mono);
	wire_put(&w, c->boot, QCLOCK_BOOT);
}

int qclock_decode(struct span value, struct qclock *out)
{
	struct wire_r r = wire_reader(value);

	if (wire_get_u8(&r) != FORMAT)
		return -EBADMSG;
	out->queue = (usec_t)wire_get_u64(&r);
	out->wall = (usec_t)wire_get_u64(&r);
	out->mono = (usec_t)wire_get_u64(&r);
	wire_get(&r, out->boot, QCLOCK_BOOT);
	out->boot[QCLOCK_BOOT] = 0;
	return wire_done(&r) && out->queue > 0 && out->queue < INT64_MAX / 2 ? 0 : -EBADMSG;
}

static struct qclock clocks(void)
{
	static char boot[QCLOCK_BOOT + 1];
	struct qclock c = { .queue = clock_steady(), .wall = clock_wall(), .mono = clock_now() };

	if (!boot[0])
		qclock_boot(boot);
	memcpy(c.boot, boot, sizeof c.boot);
	return c;
}

static bool is_empty(struct store *s, int *error)
{
	struct store_iter *it = store_iter_new(s, STORE_IBDB, SPAN(""));
	bool empty = !store_iter_valid(it);

	*error = store_iter_end(it);
	return empty;
}

int qclock_start(struct store *s, usec_t return_timeout)
{
	struct store_key key = store_key_word("clock");
	struct qclock last, now = clocks();
	char *v;
	size_t n;
	int rc = store_get(s, STORE_META, store_key_span(&key), &v, &n);

	clock_steady_begin(now.wall);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	bool good = !qclock_decode(span_of(v, n), &last);
	free(v);
	bool empty = is_empty(s, &rc);
	if (rc || !good)
		return rc;
	usec_t queue = qclock_resume(&last, &now, return_timeout / 4), since = queue - last.queue;
	if (empty)
		queue = now.wall;
	clock_steady_begin(queue);
	last_queue = queue - since;
	return 0;
}

usec_t qclock_arrival(usec_t wall_arrival, bool recent)
{
	usec_t now = clock_steady(), at = clock_steady_of_wall(wall_arrival);
	usec_t low = last_queue - ARRIVAL_MAX_SEC * (usec_t)USEC_PER_SEC;

	if (at <= now && !(recent && last_queue && at < low))
		return at;
	return last_queue ? last_queue : now;
}

void qclock_put(struct store *s, struct store_batch *b)
{
	struct store_key key = store_key_word("clock");
	struct qclock now = clocks();
	char value[QCLOCK_BYTES];

	qclock_encode(&now, value);
	store_put(s, b, STORE_META, store_key_span(&key), span_of(value, sizeof value));
}

void qclock_boot(char dst[static QCLOCK_BOOT + 1])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, dst, QCLOCK_BOOT);

	if (fd >= 0)
		close(fd);
	memset(dst + (n < 0 ? 0 : n), 0, QCLOCK_BOOT + 1 - (size_t)(n < 0 ? 0 : n));
}
