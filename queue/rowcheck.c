#include "queue/rowcheck.h"

#include <errno.h>
#include <stdlib.h>

struct rowcheck {
	struct store *s;
	void (*say)(uint64_t ta, uint32_t idx, const char *what);
	int found;
	int error;
};

static void wrong(struct rowcheck *c, uint64_t ta, uint32_t idx, const char *what)
{
	c->found++;
	c->say(ta, idx, what);
}

/* Its value is to be freed; false: it is not there. */
static bool get(struct rowcheck *c, enum store_family f, struct store_key key, char **value,
		size_t *n)
{
	int rc = store_get(c->s, f, store_key_span(&key), value, n);

	if (rc && rc != -ENOENT)
		c->error = rc;
	return !rc;
}

static bool has(struct rowcheck *c, enum store_family f, struct store_key key)
{
	char *value;
	size_t n;

	if (!get(c, f, key, &value, &n))
		return false;
	free(value);
	return true;
}

/* From the record to the indexes. */
static void check_record(struct rowcheck *c, uint64_t ta, uint32_t idx, struct span value)
{
	struct store_deferred d;

	if (store_deferred_decode(value, &d)) {
		wrong(c, ta, idx, "its record cannot be read");
		return;
	}
	if (!has(c, STORE_IBDB, store_key_ta(ta)))
		wrong(c, ta, idx, "it waits, but its message is not queued");
	if (d.held)
		return;
	if (!has(c, STORE_DUE, store_key_due(d.wall_next, ta, idx)))
		wrong(c, ta, idx, "no row says when it is due");
	if (d.park && !has(c, STORE_PARKED, store_key_parked(d.park, ta, idx)))
		wrong(c, ta, idx, "it is parked, but not where it is looked for");
	if (d.park && !has(c, STORE_META, store_key_park(d.park)))
		wrong(c, ta, idx, "it is parked under a destination that is not known");
}

/* From an index to the record. */
static void check_entry(struct rowcheck *c, uint64_t ta, uint32_t idx, usec_t wall, uint64_t park)
{
	struct store_deferred d;
	char *value;
	size_t n;

	if (!get(c, STORE_DEFEDB, store_key_rcpt(ta, idx), &value, &n)) {
		wrong(c, ta, idx, park ? "parked without a record" : "due without a record");
		return;
	}
	bool fits = !store_deferred_decode(span_of(value, n), &d) && !d.held &&
		    (park ? d.park == park : d.wall_next == wall);
	if (!fits)
		wrong(c, ta, idx,
		      park ? "parked where its record says otherwise"
			   : "due when its record says otherwise");
	free(value);
}

static void check_family(struct rowcheck *c, enum store_family f)
{
	struct store_iter *it = store_iter_new(c->s, f, SPAN(""));
	uint64_t ta, park;
	uint32_t idx;
	usec_t wall;
	bool is_rcpt;

	for (; store_iter_valid(it); store_iter_next(it)) {
		struct span key = store_iter_key(it);

		if (f == STORE_DEFEDB && store_key_parse(key, &ta, &idx, &is_rcpt) && is_rcpt)
			check_record(c, ta, idx, store_iter_value(it));
		else if (f == STORE_DUE && store_key_due_parse(key, &wall, &ta, &idx))
			check_entry(c, ta, idx, wall, 0);
		else if (f == STORE_PARKED && store_key_parked_parse(key, &park, &ta, &idx))
			check_entry(c, ta, idx, 0, park);
	}
	int rc = store_iter_end(it);
	if (rc)
		c->error = rc;
}

int rowcheck(struct store *s, void (*say)(uint64_t ta, uint32_t idx, const char *what))
{
	struct rowcheck c = { .s = s, .say = say };

	check_family(&c, STORE_DEFEDB);
	check_family(&c, STORE_DUE);
	check_family(&c, STORE_PARKED);
	return c.error ? c.error : c.found;
}
