#include "queue/qadmin.h"

#include "core/ctl.h"
#include "core/err.h"
#include "queue/agents.h"
#include "queue/feedback.h"
#include "queue/gauges.h"
#include "queue/icc.h"
#include "queue/intake.h"
#include "queue/iqdb.h"
#include "queue/listing.h"
#include "queue/live.h"
#include "queue/qadmin_change.h"
#include "queue/qadmin_list.h"
#include "queue/qadmin_suspend.h"
#include "queue/qadmin_top.h"

#include <inttypes.h>

static void status_json(const struct gauges *n, struct buf *out)
{
	buf_printf(
		out,
		"{\"version\":\"%s\",\"messages\":%" PRIu64 ",\"oldest_age\":%" PRId64
		",\"active\":%u,\"active_max\":%u,\"incoming\":%u,\"incoming_max\":%u,\"deferred\":%" PRIu64
		",\"held\":%" PRIu64 ",\"parked\":%" PRIu64 ",\"parked_destinations\":%" PRIu64
		",\"destinations\":%u,\"waiting\":%u,\"attempts\":%u,\"clients\":%u,"
		"\"smtps_workers\":%u,\"smtpc_workers\":%u,\"suspensions\":%u,\"feedback\":%d,\"cause\":\"%s\"}\n",
		SMX_VERSION, n->census.messages, n->oldest_usec / USEC_PER_SEC, aq_count(),
		aq_max(), iqdb_count(), iqdb_max(), n->census.deferred, n->census.held,
		n->parks.recipients, n->parks.destinations, n->sched.destinations, n->sched.queued,
		n->sched.attempts, icc_count(), intake_links(), agents_up(), n->suspensions,
		(int)feedback_level(), feedback_cause());
}

static enum ctl_step status_run(struct ctl_request *rq)
{
	struct gauges n = gauges_now();

	if (span_eq(rq->args, SPAN("json"))) {
		status_json(&n, rq->out);
		return CTL_DONE;
	}
	buf_printf(rq->out, "smX qmgr %s\nmessages: %" PRIu64 "\noldest: ", SMX_VERSION,
		   n.census.messages);
	listing_duration(n.oldest_usec, rq->out);
	buf_printf(
		rq->out,
		"\naq: %u of %u recipients\niqdb: %u of %u recipients\ndeferred: %" PRIu64
		" recipients\nheld: %" PRIu64 " recipients\nparked: %" PRIu64
		" of the deferred recipients, %" PRIu64 " destinations\ndestinations: %u\n"
		"waiting recipients: %u\nattempts: %u\nclients: %u\nsmtps workers: %u\nsmtpc workers: %u\n"
		"suspensions: %u\nfeedback: %d (%s)\n",
		aq_count(), aq_max(), iqdb_count(), iqdb_max(), n.census.deferred, n.census.held,
		n.parks.recipients, n.parks.destinations, n.sched.destinations, n.sched.queued,
		n.sched.attempts, icc_count(), intake_links(), agents_up(), n.suspensions,
		(int)feedback_level(), feedback_cause());
	return CTL_DONE;
}

static enum ctl_step reload_run(struct ctl_request *rq)
{
	live_reload(rq->ctx, rq->out);
	return CTL_DONE;
}

static const struct ctl_verb verbs[] = {
	{ "status", "status [json]: how full the queues are", status_run, NULL },
	{ "list", "list [text|json] [SELECTOR]: queued messages", qadmin_list_run,
	  qadmin_list_end },
	{ "show", "show [json|content] SELECTOR: all that is known of messages",
	  qadmin_list_show_run, qadmin_list_end },
	{ "retry", "retry [json] [SELECTOR]: try deferred recipients now", qadmin_change_retry,
	  qadmin_change_end },
	{ "hold", "hold [json] SELECTOR: do not try them until released", qadmin_change_hold,
	  qadmin_change_end },
	{ "release", "release [json] SELECTOR: what was held is tried again", qadmin_change_release,
	  qadmin_change_end },
	{ "delete", "delete [dsn] [json] SELECTOR: forget them; dsn: and tell the senders",
	  qadmin_change_delete, qadmin_change_end },
	{ "reroute", "reroute ROUTE|auto [json] SELECTOR: send them to another host",
	  qadmin_change_reroute, qadmin_change_end },
	{ "suspend", "suspend [until=SECONDS] SELECTOR: try nothing that matches",
	  qadmin_suspend_run, qadmin_suspend_end },
	{ "resume", "resume NUMBER|SELECTOR|all: end a suspension", qadmin_suspend_resume,
	  qadmin_suspend_end },
	{ "suspensions", "suspensions [json]: what is suspended", qadmin_suspend_list, NULL },
	{ "top",
	  "top [N] [attempts] [host|domain|from|client|reply] [json] [SELECTOR]: largest groups of recipients",
	  qadmin_top_run, qadmin_top_end },
	{ "destinations",
	  "destinations [N] [attempts] [json]: what is being tried or waits for its turn",
	  qadmin_top_dests_run, qadmin_top_dests_end },
	{ "reload", "reload: read configuration and maps again", reload_run, NULL },
	{ NULL, NULL, NULL, NULL },
};

static struct ctl_server *server;

int qadmin_listen(struct qmgr *q)
{
	int error = 0;

	server = ctl_listen(q->loop[0].loop, q->opt.control_socket, verbs, q, &error);
	if (server)
		ctl_wait(server, true);
	return error;
}

void qadmin_open(struct qmgr *q)
{
	gauges_start(q);
	ctl_wait(server, false);
}
