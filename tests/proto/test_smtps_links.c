/*
 * tests/proto/test_smtps_links.c - requests over real links to a fake qmgr and a fake smar in the
 * same loop: answers, loss of the link, sending again, what is said after a reconnect, ids, credit,
 * hostile answers.
 */
#include "proto/smtps_links.h"

#include "core/err.h"
#include "core/ids.h"
#include "core/log.h"
#include "core/sock.h"
#include "proto/smtps_session.h"
#include "proto/smtps_stats.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SEEN_MAX = 64, PATIENCE_USEC = 10 * USEC_PER_SEC };

struct seen {
	unsigned number;
	uint64_t req;
	struct msg_conn_open open;
};

/* One sibling: its listening socket, the link to us, what came. */
struct peer {
	char path[200];
	const char *component;
	struct link_server *server;
	struct link *link;
	struct seen seen[SEEN_MAX];
	unsigned count;
};

static struct loop *loop;
static struct smtps_host host;
static struct smtps_links *links;
static struct peer qmgr = { .component = "qmgr" }, smar = { .component = "smar" };
static unsigned credits, verdicts, opens, commits;
static int last_action, last_code;
static unsigned losses;

/* ---- the siblings */

static void peer_up(struct link *k, const struct link_hello *from)
{
	struct peer *p = link_ctx(k);

	(void)from;
	p->link = k;
}

static void peer_down(struct link *k)
{
	((struct peer *)link_ctx(k))->link = NULL;
	((struct peer *)link_ctx(k))->count = 0;
	losses++;
}

static void peer_message(struct link *k, unsigned number, uint64_t req, struct span body)
{
	struct peer *p = link_ctx(k);
	struct seen *s = &p->seen[p->count < SEEN_MAX - 1 ? p->count++ : p->count];

	*s = (struct seen){ .number = number, .req = req };
	if (number == MSG_conn_open)
		msg_conn_open_decode(body, &s->open);
}

static const struct link_ops peer_ops = { .up = peer_up,
					  .down = peer_down,
					  .message = peer_message };

static struct loop *pick(void *server_ctx, const struct link_hello *from, void **ctx)
{
	(void)from;
	*ctx = server_ctx;
	return loop;
}

static void peer_listen(struct peer *p)
{
	struct link_hello me = { .workers = 1 };
	int fd = sock_listen_unix(p->path, 0700);

	snprintf(me.component, sizeof me.component, "%s", p->component);
	if (fd < 0)
		panic("%s: %d", p->path, fd);
	p->server = link_listen(loop, fd, &me, &peer_ops, pick, p);
}

static void peer_gone(struct peer *p)
{
	link_server_free(p->server);
	p->server = NULL;
	link_free(p->link);
	p->link = NULL;
	p->count = 0;
}

/* How many messages of this number came; *last: the newest. */
static unsigned got(const struct peer *p, unsigned number, const struct seen **last)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->count; i++)
		if (p->seen[i].number == number) {
			n++;
			if (last)
				*last = &p->seen[i];
		}
	return n;
}

/* ---- our side */

static void answered(struct smtps_ask *a, const struct msg_verdict *v)
{
	(void)a;
	verdicts++;
	last_action = v ? v->action : -1;
}

static unsigned parts;
static uint32_t last_part;

static int took_members(struct smtps_ask *a, uint32_t part, struct span list)
{
	(void)a;
	parts++;
	last_part = part;
	return span_eq(list, SPAN("bad")) ? -EBADMSG : 0;
}

static void opened(struct smtps_open *o, const struct msg_conn_verdict *v)
{
	(void)o;
	opens++;
	last_code = v ? v->code : -1;
}

static void committed(struct smtps_commit *c, const struct msg_commit_done *v)
{
	(void)c;
	commits++;
	last_code = v ? v->code : -1;
}

static void credit_changed(void *ctx)
{
	(void)ctx;
	credits++;
}

static bool qmgr_is_up(void)
{
	return qmgr.link && got(&qmgr, MSG_state_end, NULL);
}

static bool smar_asked(void)
{
	return smar.count > 0;
}

static bool has_verdict(void)
{
	return verdicts > 0;
}

static bool has_open(void)
{
	return opens > 0;
}

static bool has_commit(void)
{
	return commits > 0;
}

static bool has_credit(void)
{
	return credits > 0;
}

static bool qmgr_lost(void)
{
	return !qmgr.link;
}

static bool asked_for_ids(void)
{
	return got(&qmgr, MSG_id_lease, NULL) > 0;
}

static bool commit_seen(void)
{
	return got(&qmgr, MSG_commit, NULL) > 0;
}

/* Turns until cond, or the test fails. */
static void until(bool (*cond)(void), const char *what)
{
	usec_t end = clock_now() + PATIENCE_USEC;

	while (!cond() && clock_now() < end)
		loop_turn(loop, 10000);
	ok(cond(), "%s", what);
}

static void turns(unsigned n)
{
	while (n--)
		loop_turn(loop, 1000);
}

static void start(void)
{
	static const char text[] =
		"hostname = \"gw.test\"; SMTPS_socket = \"%s\"; SMAR_socket = \"%s\";\n"
		"smtps { wait_for_smar = 1s; id = 7; }\n";
	struct smtps_options o;
	struct conf_global g;
	struct conf *cf = conf_new();
	char all[1000];

	snprintf(qmgr.path, sizeof qmgr.path, "%s/q", tap_tmpdir());
	snprintf(smar.path, sizeof smar.path, "%s/a", tap_tmpdir());
	int n = snprintf(all, sizeof all, text, qmgr.path, smar.path);
	if (conf_read_text(cf, "test", all, (size_t)n) ||
	    conf_apply(cf, &smtps_options_component, NULL, &o, &g)) {
		conf_print_report(cf, stderr);
		panic("options");
	}
	struct smtps_conf *c = smtps_conf_new(&o, &g, cf);
	loop = loop_new();
	if (smtps_host_init(&host, c, 10))
		panic("no memory");
	smtps_conf_put(c);
	struct smtps_links_setup s = { .loop = loop,
				       .host = &host,
				       .hello = { .component = "smtps", .id = 7, .workers = 1 },
				       .credit = credit_changed };
	links = smtps_links_new(&s);
}

/* ---- the cases */

static struct addr client = { .family = ADDR_IPV4, .ip = { 192, 0, 2, 1 } };

static struct smtps_ask ask_of(enum smtps_request_kind kind)
{
	return (struct smtps_ask){ .r.kind = (uint8_t)kind,
				   .client = &client,
				   .sender = SPAN("a@b.test"),
				   .rcpt = SPAN("c@d.test"),
				   .members = took_members,
				   .done = answered };
}

static void reply_verdict(uint64_t req, unsigned action)
{
	link_put(smar.link, req, verdict,
		 (&(struct msg_verdict){ .action = (uint8_t)action,
					 .text = SPAN("x"),
					 .name = SPAN(""),
					 .route = SPAN("") }));
}

static void reply_members(uint64_t req, uint32_t part, struct span list)
{
	link_put(smar.link, req, members, (&(struct msg_members){ part, list }));
}

static bool has_part(void)
{
	return parts > 0;
}

static bool has_loss(void)
{
	return losses > 0;
}

/* What an alias stands for comes in front of the verdict, and again after a loss. */
static void test_members(void)
{
	struct smtps_ask a = ask_of(SMTPS_ASK_RCPT), mail = ask_of(SMTPS_ASK_MAIL);
	unsigned before = smar.count;

	verdicts = 0;
	host.up->ops->ask(host.up, &a);
	turns(5);
	uint64_t req = smar.seen[before].req;
	reply_members(req, 0, SPAN("one"));
	until(has_part, "members come to who asked");
	ok(last_part == 0 && !verdicts && smtps_request_waits(&a.r), "which goes on waiting");
	peer_gone(&smar);
	turns(5);
	peer_listen(&smar);
	until(smar_asked, "asked again after a loss");
	parts = 0;
	reply_members(req, 0, SPAN("one"));
	reply_members(req, 1, SPAN("two"));
	reply_members(req + 1000, 0, SPAN("nobody's"));
	reply_verdict(req, MSG_ACT_OK);
	until(has_verdict, "then the verdict");
	ok(parts == 2 && last_part == 1, "all parts came, those of nobody did not");
	smar.count = losses = 0;
	host.up->ops->ask(host.up, &a);
	until(smar_asked, "another question");
	reply_members(smar.seen[0].req, 0, SPAN("bad"));
	until(has_loss, "a part that cannot be read ends the link");
	host.up->ops->forget(host.up, &a.r);
	smar.count = losses = 0;
	host.up->ops->ask(host.up, &mail);
	until(smar_asked, "which comes back");
	reply_members(smar.seen[0].req, 0, SPAN("one"));
	until(has_loss, "members of a sender end it too");
	host.up->ops->forget(host.up, &mail.r);
	verdicts = 0;
}

static void test_smar(void)
{
	struct smtps_ask a = ask_of(SMTPS_ASK_RCPT), b = ask_of(SMTPS_ASK_MAIL),
			 forgotten = ask_of(SMTPS_ASK_MAIL);

	is_int(host.up->ops->ask(host.up, &a), 0, "asked while smar is away");
	ok(smtps_request_waits(&a.r), "waits");
	peer_listen(&smar);
	until(smar_asked, "smar is asked when it has come");
	is_int(smar.seen[0].number, MSG_ask_rcpt, "what was asked");
	uint64_t req = smar.seen[0].req;
	peer_gone(&smar);
	turns(5);
	peer_listen(&smar);
	until(smar_asked, "and again after a loss");
	ok(smar.seen[0].req == req, "with the same id");
	reply_verdict(req, MSG_ACT_OK);
	until(has_verdict, "answered");
	is_int(last_action, MSG_ACT_OK, "the answer");
	verdicts = 0;
	reply_verdict(req, MSG_ACT_OK);
	turns(5);
	is_int(verdicts, 0, "a second answer is nobody's");
	host.up->ops->ask(host.up, &forgotten);
	host.up->ops->forget(host.up, &forgotten.r);
	turns(5);
	reply_verdict(smar.seen[1].req, MSG_ACT_OK);
	turns(5);
	is_int(verdicts, 0, "nor is one for what was forgotten");
	/* wait_for_smar is one second. */
	host.up->ops->ask(host.up, &b);
	until(has_verdict, "no answer in time");
	is_int(last_action, -1, "says so");
	ok(!smtps_request_waits(&b.r), "and waits no more");
}

static void test_ids(void)
{
	const struct seen *s = NULL;

	is_int((int64_t)host.up->ops->id(host.up), 0, "no ids at first");
	peer_listen(&qmgr);
	until(qmgr_is_up, "qmgr is there");
	until(asked_for_ids, "ids are asked for");
	got(&qmgr, MSG_id_lease, &s);
	link_put(qmgr.link, s->req, id_block, (&(struct msg_id_block){ 1000, 3 }));
	turns(5);
	ok(got(&qmgr, MSG_id_lease, &s) == 2, "and a reserve");
	ok(host.up->ops->id(host.up) == id_make(1000, 7), "first id");
	ok(host.up->ops->id(host.up) == id_make(1001, 7), "second id");
	link_put(qmgr.link, s->req, id_block, (&(struct msg_id_block){ 5000, 2 }));
	turns(5);
	ok(host.up->ops->id(host.up) == id_make(1002, 7), "last of the block");
	ok(host.up->ops->id(host.up) == id_make(5000, 7), "first of the reserve");
	turns(5);
	ok(got(&qmgr, MSG_id_lease, NULL) == 3, "a new reserve is asked for");
	ok(host.up->ops->id(host.up) == id_make(5001, 7), "last of the reserve");
	ok(host.up->ops->id(host.up) == 0, "no more");
}

static void test_qmgr(void)
{
	struct smtps_open o = { .client = &client, .done = opened };
	struct smtps_commit c = { .ta = 0x4200, .done = committed, .ref = { 1, 2, 3, 4 } };
	const struct seen *s = NULL;

	is_int(host.up->ops->open(host.up, &o), 0, "open");
	turns(5);
	ok(got(&qmgr, MSG_conn_open, &s) == 1 && s->open.state == 0 &&
		   addr_eq(&s->open.client, &client),
	   "qmgr is asked");
	link_put(qmgr.link, s->req, conn_verdict,
		 (&(struct msg_conn_verdict){ 421, SPAN("4.7.0 no") }));
	until(has_open, "answered");
	is_int(last_code, 421, "refused");
	host.up->ops->closed(host.up, &client);
	turns(5);
	ok(got(&qmgr, MSG_conn_close, NULL) == 1, "the end is told");
	/* A commit survives the loss of qmgr. */
	buf_add(&c.envelope, "envelope", 8);
	host.up->ops->commit(host.up, &c);
	until(commit_seen, "commit");
	got(&qmgr, MSG_commit, &s);
	uint64_t req = s->req;
	peer_gone(&qmgr);
	turns(5);
	is_int(commits, 0, "not answered yet");
	peer_listen(&qmgr);
	until(qmgr_is_up, "qmgr is back");
	ok(got(&qmgr, MSG_commit, &s) == 1 && s->req == req, "the commit comes again");
	ok(got(&qmgr, MSG_id_lease, NULL) == 1, "and the lease");
	is_int(qmgr.seen[qmgr.count - 1].number, MSG_state_end, "then the end of the state");
	link_put(qmgr.link, req, commit_done, (&(struct msg_commit_done){ 0x4200, 0, SPAN("") }));
	until(has_commit, "durable");
	is_int(last_code, 0, "code");
	buf_release(&c.envelope);
}

static void test_hostile(void)
{
	struct smtps_commit c = { .ta = 0x4300, .done = committed };
	const struct seen *s = NULL;

	commits = 0;
	qmgr.count = 0;
	host.up->ops->commit(host.up, &c);
	until(commit_seen, "commit");
	got(&qmgr, MSG_commit, &s);
	uint64_t req = s->req;
	link_put(qmgr.link, req, conn_verdict, (&(struct msg_conn_verdict){ 0, SPAN("") }));
	until(qmgr_lost, "an answer of another kind ends the link");
	qmgr.count = 0;
	until(qmgr_is_up, "it connects again");
	is_int(commits, 0, "the request still waits");
	link_put(qmgr.link, req, commit_done, (&(struct msg_commit_done){ 0x9900, 0, SPAN("") }));
	until(has_commit, "another transaction's answer");
	is_int(last_code, -1, "counts as none");
	qmgr.count = 0;
	until(qmgr_is_up, "it connects again");
	got(&qmgr, MSG_id_lease, &s);
	link_put(qmgr.link, s->req, id_block, (&(struct msg_id_block){ UINT64_MAX - 5, 100 }));
	until(qmgr_lost, "ids that cannot be end the link");
	qmgr.count = 0;
	until(qmgr_is_up, "it connects again");
	link_send(qmgr.link, MSG_credit, 0, SPAN("short"));
	until(qmgr_lost, "half a message ends the link");
	qmgr.count = 0;
	until(qmgr_is_up, "it connects again");
	link_send(qmgr.link, 999, 0, SPAN(""));
	until(qmgr_lost, "an unknown message ends the link");
}

static void test_credit(void)
{
	qmgr.count = 0;
	until(qmgr_is_up, "it connects again");
	credits = 0;
	link_put(qmgr.link, 0, credit, (&(struct msg_credit){ 5, 50, 1, SPAN("aq") }));
	until(has_credit, "credit");
	ok(host.credit.sessions == 5 && host.credit.recipients == 50 && host.credit.level == 1,
	   "taken");
	credits = 0;
	peer_gone(&qmgr);
	until(has_credit, "void when qmgr goes");
	ok(host.credit.sessions == UINT32_MAX && host.credit.level == 0, "unlimited again");
}

static void test_segments(void)
{
	const struct seen *s = NULL;

	smtps_links_segment(links, 7, 8, 9, true);
	peer_listen(&qmgr);
	until(qmgr_is_up, "qmgr is back");
	ok(got(&qmgr, MSG_seg_seal, &s) == 1, "a seal that it missed is told");
	smtps_links_segment(links, 10, 11, 12, false);
	turns(5);
	ok(got(&qmgr, MSG_seg_open, NULL) == 1, "a new segment is told");
	link_put(qmgr.link, 0, seg_bad, (&(struct msg_seg_bad){ 10, 11 }));
	link_put(qmgr.link, 0, seg_free, (&(struct msg_seg_free){ 7, 8 }));
	turns(5);
	ok(qmgr.link != NULL, "what qmgr says of segments is understood");
	smtps_links_spare(links, 13, 14, 15);
	turns(5);
	ok(got(&qmgr, MSG_seg_spare, NULL) == 1, "a segment that is kept is told");
	struct buf runs = { 0 };
	cdb_runs_add(&runs, (struct cdb_run){ 4096, 8192 });
	link_put(qmgr.link, 0, seg_punch, (&(struct msg_seg_punch){ 7, 8, buf_span(&runs) }));
	turns(5);
	ok(got(&qmgr, MSG_seg_punched, NULL) == 1 && qmgr.link, "who cannot punch says so");
	link_put(qmgr.link, 0, seg_punch,
		 (&(struct msg_seg_punch){ 7, 8, span_head(buf_span(&runs), 15) }));
	buf_release(&runs);
	until(qmgr_lost, "half a run: the link is closed");
}

int main(void)
{
	log_set_level(0);
	smtps_stats_define();
	stats_thread();
	start();
	test_smar();
	test_members();
	test_ids();
	test_qmgr();
	test_hostile();
	test_credit();
	test_segments();
	smtps_links_free(links);
	peer_gone(&qmgr);
	peer_gone(&smar);
	turns(2);
	smtps_host_free(&host);
	loop_free(loop);
	return plan_done();
}
