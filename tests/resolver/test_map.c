#include "core/map.h"

#include "tests/resolver/map_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

static struct report report;

static void get_is(const struct map *m, const char *key, const char *want, const char *name)
{
	struct span v = { NULL, 0 };
	int rc = map_get(m, span_str(key), &v);

	if (!want) {
		is_int(rc, -ENOENT, name);
		return;
	}
	is_int(rc, 0, name);
	is_mem(v.p, v.n, want, strlen(want), name);
}

static void refused(const char *path, const char *want, const char *name)
{
	struct report r = { 0 };
	struct map *m = map_open_hash("m", path, &r);

	ok(!m && r.error_count == 1, "%s is refused", name);
	ok(strstr(fixture_report(&r), want), "%s: says why", name);
	if (!strstr(fixture_report(&r), want))
		diag("%s", fixture_report(&r));
	map_put_ref(m);
	report_free(&r);
}

static void test_hash(void)
{
	char *path = fixture_map("a.db", "Key one\nto:@a.b relay\n"), longest[600];
	struct map *m = map_open_hash("m", path, &report);

	get_is(m, "key", "one", "found");
	get_is(m, "KEY", "one", "found without regard to case");
	get_is(m, "to:@a.b", "relay", "found with a tag");
	get_is(m, "ke", NULL, "a part of a key");
	get_is(m, "", NULL, "an empty key");
	memset(longest, 'k', sizeof longest);
	longest[599] = 0;
	get_is(m, longest, NULL, "a key over 511 bytes never matches");
	struct span v;
	is_int(map_get(m, MAP_MARK_KEY, &v), -ENOENT, "the mark is not an entry");
	ok(!map_is_empty(m) && !map_blocks(m), "not empty, does not block");
	is_str(map_file(m), path, "its file");

	/* The file is replaced: who has it open keeps what it has. */
	free(fixture_map("a.db", "key two\n"));
	get_is(m, "key", "one", "the old file is still read");
	struct map *n = map_open_hash("m", path, &report);
	get_is(n, "key", "two", "the new one is read when it is opened again");
	free(fixture_file("a.db", ""));
	get_is(n, "key", "two", "also when the file is cut under its feet");
	map_put_ref(m);
	map_put_ref(n);
	unlink(path);
	struct map *gone = map_open_hash("m", path, &report);
	ok(gone && report.warning_count == 1 && !report.error_count, "an absent file is a warning");
	ok(map_is_empty(gone), "and an empty map");
	get_is(gone, "key", NULL, "nothing is in it");
	map_put_ref(gone);
	free(path);
}

static void test_refused(void)
{
	char *path = fixture_map("good.db", "a 1\n"), *cut = fixture_path("cut.db");
	char *empty = fixture_file("empty.db", ""), *text = fixture_file("text.db", "to:a relay\n");
	char data[12288];
	FILE *f = fopen(path, "re");
	size_t n = fread(data, 1, sizeof data, f);

	fclose(f);
	f = fopen(cut, "we");
	fwrite(data, 1, n - 4096, f);
	fclose(f);
	refused(cut, "damaged or cut", "a cut file");
	refused(empty, "not a map", "an empty file");
	refused(text, "not a map", "a text file");
	refused(tap_tmpdir(), "not a map", "a folder");
	char *under = fixture_path("text.db/x.db");
	refused(under, "Not a directory", "a file below a file");
	if (geteuid() != 0) {
		chmod(path, 0);
		refused(path, "Permission denied", "an unreadable file");
	} else {
		skip("root may read everything");
		skip("root may read everything");
	}
	free(path);
	free(cut);
	free(empty);
	free(text);
	free(under);
}

static void test_sequence(void)
{
	char *one = fixture_map("one.db", "a 1\nb 1\n"), *two = fixture_map("two.db", "b 2\nc 2\n");
	struct map *maps[2] = { map_open_hash("one", one, &report),
				map_open_hash("two", two, &report) };
	struct map *seq = map_new_sequence("seq", maps, 2), *pw = map_new_passwd("pw");

	map_put_ref(maps[0]);
	map_put_ref(maps[1]);
	get_is(seq, "a", "1", "found in the first");
	get_is(seq, "b", "1", "the first one wins");
	get_is(seq, "c", "2", "found in the second");
	get_is(seq, "d", NULL, "found in none");
	ok(!map_blocks(seq), "a sequence of files does not block");
	struct map *both[2] = { seq, pw };
	struct map *outer = map_new_sequence("outer", both, 2);
	ok(map_blocks(outer), "one with a passwd map does");
	map_put_ref(seq);
	map_put_ref(pw);
	map_put_ref(outer);
	free(one);
	free(two);
}

static void test_passwd(void)
{
	struct map *pw = map_new_passwd("pw");
	struct passwd *me = getpwuid(0);
	char want[32];

	if (me) {
		snprintf(want, sizeof want, "%u:%u", (unsigned)me->pw_uid, (unsigned)me->pw_gid);
		get_is(pw, me->pw_name, want, "an account");
	}
	get_is(pw, "no-such-account-here", NULL, "no such account");
	get_is(pw, "", NULL, "no name");
	ok(map_blocks(pw), "accounts may take time");
	map_put_ref(pw);
}

static int collect(void *ctx, struct span key, struct span value)
{
	buf_printf(ctx, "%.*s=%.*s ", (int)key.n, key.p, (int)value.n, value.p);
	return span_eq(key, SPAN("b:3")) ? 7 : 0;
}

static void test_walk(void)
{
	char *path = fixture_map("walk.db", "a:1 x\nb:1 y\nb:2 z\nc:1 w\n");
	struct map *m = map_open_hash("m", path, &report);
	struct buf out = { 0 };

	is_int(map_walk(m, SPAN(""), collect, &out), 0, "to the end");
	is_mem(buf_span(&out).p, buf_len(&out), "a:1=x b:1=y b:2=z c:1=w ", 24,
	       "all, in order, without the mark");
	buf_release(&out);
	map_walk(m, SPAN("b:"), collect, &out);
	is_mem(buf_span(&out).p, buf_len(&out), "b:1=y b:2=z ", 12, "those with a prefix");
	buf_release(&out);
	map_put_ref(m);
	free(fixture_map("walk.db", "b:3 x\nb:4 y\n"));
	m = map_open_hash("m", path, &report);
	is_int(map_walk(m, SPAN("b:"), collect, &out), 7, "stops when it is told to");
	is_mem(buf_span(&out).p, buf_len(&out), "b:3=x ", 6, "at that entry");
	buf_release(&out);
	map_put_ref(m);
	free(path);
}

struct job {
	struct map *map;
	unsigned slot, found;
};

static void *look_up(void *arg)
{
	struct job *j = arg;
	struct span v;

	map_use_slot(j->slot);
	for (unsigned i = 0; i < 20000; i++) {
		char key[16];

		snprintf(key, sizeof key, "k%u", i % 1000);
		j->found += !map_get(j->map, span_str(key), &v) && v.n == 1;
	}
	return NULL;
}

static void test_threads(void)
{
	enum { THREADS = 4 };
	char text[16000], *path;
	size_t n = 0;
	struct job job[THREADS];
	pthread_t thread[THREADS];

	for (unsigned i = 0; i < 1000; i++)
		n += (size_t)sprintf(text + n, "k%u v\n", i);
	map_slots(THREADS);
	path = fixture_map("threads.db", text);
	struct map *m = map_open_hash("m", path, &report);
	for (unsigned i = 0; i < THREADS; i++) {
		job[i] = (struct job){ m, i, 0 };
		pthread_create(&thread[i], NULL, look_up, &job[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		is_int(job[i].found, 20000, "every lookup of a thread");
	}
	map_put_ref(m);
	free(path);
}

int main(void)
{
	test_hash();
	test_refused();
	test_sequence();
	test_passwd();
	test_walk();
	test_threads();
	report_free(&report);
	return plan_done();
}
