/*
 * queue/cdbctl.c - looks at the content database and makes a new queue database from it. See cdbctl(8).
 */
#include "core/crc32c.h"
#include "core/err.h"
#include "core/ids.h"
#include "core/thread.h"
#include "queue/inventory.h"
#include "queue/listing.h"
#include "queue/rebuild.h"
#include "queue/rowcheck.h"
#include "queue/tail.h"
#include "queue/tool.h"
#include "queue/unstuff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { PART_BYTES = 64 << 10 };

static void usage(FILE *out)
{
	fprintf(out,
		"usage: cdbctl [-d DIR] [-f FILE] COMMAND\n"
		"  -d DIR    spool (default: $SMX_SPOOL, the current folder, " SMX_SPOOLDIR ")\n"
		"  -f FILE   configuration, when qmgr has other folders than the default ones\n"
		"  -h        this text        -V        version; more V tell more\n"
		"commands:\n"
		"  ls [-l] [-j]       segments and files with sizes and records; -l: each record too; -j: JSON lines\n"
		"  cat [-r | -e] ID   content of a message as it was received; -r: with our Received line;\n"
		"                     -e: its envelope instead\n"
		"  check [-q]         compares all CRCs; -q: says only what is damaged\n"
		"  rebuild [-n] [-F]  makes a new queue database when the old one is lost or damaged;\n"
		"                     -n: lists what it would do; -F: even if the old one can be read\n");
}

/* A database that cannot be read is no reason not to look at the content. */
static struct store *open_store(const struct tool_spool *t)
{
	char why[600] = "";
	struct store *s = tool_open_store(t, why, sizeof why);

	/* A running qmgr may have replaced a file while it was opened. */
	if (!s && tool_database_user(t))
		s = tool_open_store(t, why, sizeof why);
	if (!s)
		fprintf(stderr, "cdbctl: database in %s: %s: what is queued is not known\n",
			t->opt.defedb_base_directory, why);
	return s;
}

static struct inventory *open_inventory(const struct tool_spool *t, struct store **store)
{
	int error;

	*store = open_store(t);
	struct inventory *v = inventory_new(t->global.cdb_base_directory, *store, &error);
	if (!v)
		fatal(EX_DATAERR, "database in %s: %s", t->opt.defedb_base_directory,
		      store_error());
	return v;
}

static void walk_or_exit(const struct tool_spool *t, struct inventory *v, bool check,
			 const struct inventory_calls *c)
{
	int rc = inventory_walk(v, check, c);

	if (rc)
		fatal(rc == -ENOENT ? EX_NOINPUT : EX_IOERR, "content database in '%s': %s",
		      t->global.cdb_base_directory,
		      rc == -ENOENT ? "there are no folders 0 to F" : strerror(-rc));
}

/* ---- ls */

struct totals {
	uint64_t files, bytes, records, count[4], live_bytes;
};

struct ls {
	bool json, records;
	struct totals file, all;
};

static void name_of(const struct inventory_file *f, char name[static ID_TEXT_MAX])
{
	if (f->seg)
		snprintf(name, ID_TEXT_MAX, "G%016" PRIX64, f->seg);
	else
		id_text(f->ta, name);
}

static void ls_begin(void *ctx, const struct inventory_file *f)
{
	struct ls *l = ctx;

	(void)f;
	l->file = (struct totals){ .files = 1 };
}

static void ls_record(void *ctx, const struct inventory_record *r)
{
	struct ls *l = ctx;
	char id[ID_TEXT_MAX], name[ID_TEXT_MAX];

	l->file.records++;
	l->file.count[r->state]++;
	if (r->state == INVENTORY_LIVE || r->state == INVENTORY_NEW)
		l->file.live_bytes += r->ref.len;
	if (!l->records)
		return;
	id_text(r->head.ta, id);
	name_of(r->file, name);
	if (l->json)
		printf("{\"record\":\"%s\",\"file\":\"%s\",\"offset\":%" PRIu64
		       ",\"bytes\":%" PRIu64 ",\"size\":%" PRIu64 ",\"state\":\"%s\"}\n",
		       id, name, r->ref.off, r->ref.len, r->head.content_bytes,
		       inventory_state_name(r->state));
	else
		printf("  %s %10" PRIu64 " %10" PRIu64 " %s\n", id, r->ref.off,
		       r->head.content_bytes, inventory_state_name(r->state));
}

static void put_totals(const char *name, const struct totals *t, const char *note)
{
	printf("%-19s %12" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64
	       " %12" PRIu64 "%s%s\n",
	       name, t->bytes, t->records, t->count[INVENTORY_LIVE], t->count[INVENTORY_NEW],
	       t->count[INVENTORY_FINISHED], t->count[INVENTORY_UNKNOWN], t->live_bytes,
	       *note ? " " : "", note);
}

static void ls_end(void *ctx, const struct inventory_file *f)
{
	struct ls *l = ctx;
	char name[ID_TEXT_MAX];
	const char *note = f->error == -ENOENT ? "(not complete)"
			   : f->error          ? "(damaged)"
			   : f->in_use         ? "(in use)"
					       : "";

	name_of(f, name);
	l->file.bytes = f->size_bytes;
	if (l->json)
		printf("{\"file\":\"%s\",\"bytes\":%" PRIu64 ",\"records\":%" PRIu64
		       ",\"live\":%" PRIu64 ",\"new\":%" PRIu64 ",\"finished\":%" PRIu64
		       ",\"unknown\":%" PRIu64 ",\"live_bytes\":%" PRIu64
		       ",\"in_use\":%s,\"damaged\":%s}\n",
		       name, f->size_bytes, l->file.records, l->file.count[0], l->file.count[1],
		       l->file.count[2], l->file.count[3], l->file.live_bytes,
		       f->in_use ? "true" : "false",
		       f->error && f->error != -ENOENT ? "true" : "false");
	else
		put_totals(name, &l->file, note);
	l->all.files++;
	l->all.bytes += f->size_bytes;
	l->all.records += l->file.records;
	l->all.live_bytes += l->file.live_bytes;
	for (int i = 0; i < 4; i++)
		l->all.count[i] += l->file.count[i];
}

static int do_ls(const struct tool_spool *t, bool records, bool json)
{
	struct ls l = { .json = json, .records = records };
	struct inventory_calls c = { ls_begin, ls_record, ls_end, &l };
	struct store *store;
	struct inventory *v = open_inventory(t, &store);

	if (!json)
		puts("file                       bytes   records      live       new  finished   unknown   live bytes");
	walk_or_exit(t, v, false, &c);
	if (!json)
		put_totals("total", &l.all, "");
	inventory_free(v);
	store_close(store);
	return fflush(stdout) ? EX_IOERR : EX_OK;
}

/* ---- check */

struct check {
	bool quiet;
	uint64_t records, bytes, files;
	unsigned needed, others; /* damaged ones */
};

static void check_record(void *ctx, const struct inventory_record *r)
{
	struct check *c = ctx;
	char id[ID_TEXT_MAX], name[ID_TEXT_MAX];

	c->records++;
	c->bytes += r->ref.len;
	/* Gone or given up since the head was read (what the database needs is looked for later), or
	 * being written: its segment is in use. */
	if (!r->damage || r->damage == -ENOENT || r->damage == -ESTALE ||
	    (r->state == INVENTORY_NEW && r->file->in_use))
		return;
	/* A record that was never acknowledged may be torn, one that is finished is needed by nobody. */
	bool needed = r->state == INVENTORY_LIVE || r->state == INVENTORY_UNKNOWN;
	c->needed += needed;
	c->others += !needed;
	id_text(r->head.ta, id);
	name_of(r->file, name);
	printf("%s: %s, offset %" PRIu64 ": %s (%s)\n", needed ? "DAMAGED" : "torn, not needed",
	       name, r->ref.off, id, r->damage == -EBADMSG ? "CRC" : strerror(-r->damage));
}

static void check_end(void *ctx, const struct inventory_file *f)
{
	struct check *c = ctx;
	char name[ID_TEXT_MAX];

	c->files++;
	if (!f->error || f->error == -ENOENT)
		return;
	c->needed++;
	name_of(f, name);
	printf("DAMAGED: %s: %s\n", name, f->error == -EBADMSG ? "header" : strerror(-f->error));
}

/* Each message of the database has its record. */
static int check_row(struct inventory *v, uint64_t id, struct span value)
{
	struct cdb_record rec;
	struct cdb_ref ref;
	struct span blob;
	int rc = store_ta_decode(value, &ref, &blob);

	if (!rc)
		rc = cdb_open_record(inventory_reader(v), &ref, id, &rec);
	if (!rc)
		cdb_close_record(inventory_reader(v), &rec);
	return rc;
}

/* What we have opened is the database of a moment ago; a running qmgr may have moved the message, or
 * be done with it. */
static int check_row_now(const struct tool_spool *t, struct inventory *v, uint64_t id)
{
	struct store_key key = store_key_ta(id);
	struct store *s = open_store(t);
	char *value;
	size_t n;
	int rc = s ? store_get(s, STORE_IBDB, store_key_span(&key), &value, &n) : -EIO;

	if (!rc) {
		rc = check_row(v, id, span_of(value, n));
		free(value);
	} else if (rc == -ENOENT) {
		rc = 0;
	}
	store_close(s);
	return rc;
}

static void check_rows(const struct tool_spool *t, struct check *c, struct inventory *v,
		       struct store *s)
{
	struct store_iter *it = store_iter_new(s, STORE_IBDB, SPAN(""));
	char id_name[ID_TEXT_MAX];
	uint64_t id;
	uint32_t idx;
	bool is_rcpt;

	for (; store_iter_valid(it); store_iter_next(it)) {
		if (!store_key_parse(store_iter_key(it), &id, &idx, &is_rcpt) || is_rcpt)
			continue;
		int rc = check_row(v, id, store_iter_value(it));
		if (rc && tool_database_user(t))
			rc = check_row_now(t, v, id);
		if (!rc)
			continue;
		c->needed++;
		id_text(id, id_name);
		printf("DAMAGED: %s: queued, but its content is not there (%s)\n", id_name,
		       strerror(-rc));
	}
	if (store_iter_end(it)) {
		c->needed++;
		printf("DAMAGED: the queue database: %s\n", store_error());
	}
}

static void say_row(uint64_t ta, uint32_t idx, const char *what)
{
	char id[ID_TEXT_MAX];

	id_text(ta, id);
	printf("DAMAGED: %s, recipient %" PRIu32 ": %s\n", id, idx, what);
}

/* Each recipient that waits has the rows that bring it back. */
static void check_waiting(struct check *c, struct store *s)
{
	int rc = rowcheck(s, say_row);

	if (rc < 0) {
		c->needed++;
		printf("DAMAGED: the queue database: %s\n", store_error());
	} else {
		c->needed += (unsigned)rc;
	}
}

static int do_check(const struct tool_spool *t, bool quiet)
{
	struct check c = { .quiet = quiet };
	struct inventory_calls calls = { NULL, check_record, check_end, &c };
	struct store *store;
	struct inventory *v = open_inventory(t, &store);

	walk_or_exit(t, v, true, &calls);
	if (store) {
		check_rows(t, &c, v, store);
		check_waiting(&c, store);
	}
	if (!quiet || c.needed)
		printf("%" PRIu64 " records in %" PRIu64 " files, %" PRIu64
		       " bytes: %u damaged, %u torn that nobody needs\n",
		       c.records, c.files, c.bytes, c.needed, c.others);
	inventory_free(v);
	store_close(store);
	return fflush(stdout) ? EX_IOERR : c.needed || !store ? EX_DATAERR : EX_OK;
}

/* ---- cat */

struct find {
	uint64_t id;
	bool found;
	struct cdb_ref ref;
};

static void find_record(void *ctx, const struct inventory_record *r)
{
	struct find *f = ctx;

	if (r->head.ta == f->id) {
		f->found = true;
		f->ref = r->ref;
	}
}

static bool find_in_store(struct store *s, struct find *f)
{
	struct store_key key = store_key_ta(f->id);
	struct span blob;
	char *value;
	size_t n;

	if (store_get(s, STORE_IBDB, store_key_span(&key), &value, &n))
		return false;
	f->found = !store_ta_decode(span_of(value, n), &f->ref, &blob);
	free(value);
	return f->found;
}

static int copy_out(const struct cdb_record *rec, bool received)
{
	struct unstuff u = { .raw = rec->head.flags & CDB_RAW };
	struct buf out = { 0 };
	char part[PART_BYTES];
	uint64_t at = 0, skip = received ? 0 : rec->head.received_bytes;
	uint32_t crc = 0;
	ssize_t n;

	while ((n = cdb_read(rec, at, part, sizeof part)) > 0) {
		struct span s = span_of(part, (size_t)n);

		crc = crc32c(crc, s.p, s.n);
		at += (uint64_t)n;
		uint64_t gone = skip < s.n ? skip : s.n;
		skip -= gone;
		if (unstuff_add(&u, span_from(s, (size_t)gone), &out))
			fatal(EX_OSERR, "no memory");
		if (fwrite(buf_span(&out).p, 1, buf_len(&out), stdout) != buf_len(&out))
			fatal(EX_IOERR, "cannot write: %s", strerror(errno));
		out.r = out.w = 0;
	}
	unstuff_end(&u, &out);
	if (fwrite(buf_span(&out).p, 1, buf_len(&out), stdout) != buf_len(&out) || fflush(stdout))
		fatal(EX_IOERR, "cannot write: %s", strerror(errno));
	buf_release(&out);
	if (n < 0)
		fatal(EX_IOERR, "cannot read: %s", strerror((int)-n));
	if (crc != rec->head.content_crc)
		fatal(EX_DATAERR, "the content is damaged: its CRC does not fit");
	return EX_OK;
}

/* As it was accepted: what became of its recipients is in the database. */
static int print_envelope(struct inventory *v, const struct find *f)
{
	struct buf out = { 0 };
	int rc;
	struct ta *ta = tail_ta(inventory_reader(v), &f->ref, f->id, &rc);

	if (!ta)
		fatal(EX_DATAERR, "the envelope is damaged: %s", strerror(-rc));
	if (listing_envelope(ta, &out))
		fatal(EX_OSERR, "no memory");
	if (fwrite(buf_span(&out).p, 1, buf_len(&out), stdout) != buf_len(&out) || fflush(stdout))
		fatal(EX_IOERR, "cannot write: %s", strerror(errno));
	buf_release(&out);
	aq_ta_free(ta);
	return EX_OK;
}

static int do_cat(const struct tool_spool *t, const char *id, bool received, bool envelope)
{
	struct find f = { .found = false };
	struct inventory_calls calls = { NULL, find_record, NULL, &f };
	struct cdb_record rec;
	struct store *store;

	if (id_parse(span_str(id), &f.id))
		fatal(EX_USAGE, "'%s' is not the id of a message", id);
	struct inventory *v = open_inventory(t, &store);
	/* Finished ones are in no database, but their bytes may still be there. */
	if (!store || !find_in_store(store, &f))
		walk_or_exit(t, v, false, &calls);
	if (!f.found)
		fatal(EX_NOINPUT, "%s is not in the content database", id);
	int rc = cdb_open_record(inventory_reader(v), &f.ref, f.id, &rec);
	if (rc)
		fatal(EX_DATAERR, "%s: %s", id, strerror(-rc));
	rc = envelope ? print_envelope(v, &f) : copy_out(&rec, received);
	cdb_close_record(inventory_reader(v), &rec);
	inventory_free(v);
	store_close(store);
	return rc;
}

/* ---- the command line */

struct flags {
	bool j, l, r, e, q, n, F;
};

static int parse_flags(int argc, char **argv, const char *allowed, struct flags *f)
{
	int o;

	optind = 1;
	while ((o = getopt(argc, argv, allowed)) != -1) {
		f->j |= o == 'j';
		f->l |= o == 'l';
		f->r |= o == 'r';
		f->e |= o == 'e';
		f->q |= o == 'q';
		f->n |= o == 'n';
		f->F |= o == 'F';
		if (o == '?') {
			usage(stderr);
			exit(EX_USAGE);
		}
	}
	return optind;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "ls", "cat", "check", "rebuild" };
	static const char *const allowed[] = { "+lj", "+re", "+q", "+nF" };
	const char *dir = NULL, *conf = NULL;
	struct flags f = { .j = false };
	struct tool_spool t;
	unsigned version = 0;
	int o, c = 0;

	err_plain();
	while ((o = getopt(argc, argv, "+d:f:hV")) != -1) {
		if (o == 'd') {
			dir = optarg;
		} else if (o == 'f') {
			conf = optarg;
		} else if (o == 'V') {
			version++;
		} else {
			usage(o == 'h' ? stdout : stderr);
			return o == 'h' ? 0 : EX_USAGE;
		}
	}
	if (version) {
		tool_version("cdbctl", version);
		return 0;
	}
	int at = optind;
	while (at < argc && c < 4 && strcmp(argv[at], names[c]))
		c++;
	if (at == argc || c == 4) {
		usage(stderr);
		return EX_USAGE;
	}
	int used = parse_flags(argc - at, argv + at, allowed[c], &f), words = argc - at - used;
	if (words != (c == 1) || (f.r && f.e)) {
		usage(stderr);
		return EX_USAGE;
	}
	tool_begin(&t, dir, conf, NULL);
	thread_main_register();
	switch (c) {
	case 0:
		return do_ls(&t, f.l, f.j);
	case 1:
		return do_cat(&t, argv[at + used], f.r, f.e);
	case 2:
		return do_check(&t, f.q);
	default:
		return rebuild(&t, f.n, f.F);
	}
}
