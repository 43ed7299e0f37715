#include "proto/smtpc_log.h"

#include "core/ids.h"
#include "core/log.h"

#include <errno.h>

static void add_id(struct log_line *l, const struct smtpc_session *s, const char *name, uint32_t id)
{
	char text[ID_TEXT_MAX];

	id_client_text(s->engine->setup.process, id, s->engine->setup.worker, text);
	log_word(l, name, text);
}

static bool begin(struct log_line *l, const struct smtpc_session *s)
{
	if (!log_on(LOG_LV_MAIL))
		return false;
	log_begin(l, LOG_LV_MAIL, LOG_SEV_NONE);
	add_id(l, s, "da_sess", s->id);
	if (s->job && s->job->da_ta) {
		add_id(l, s, "da_ta", s->job->da_ta);
		log_id(l, "ss_ta", s->job->env.ta);
	}
	return true;
}

/* 0 for success, else the code, R 10.2. */
static void add_reply(struct log_line *l, const struct smtpc_session *s)
{
	enum reply_class c = reply_class(&s->reply);

	log_int(l, "stat", c == REPLY_YES || c == REPLY_GO_ON ? 0 : s->reply.code);
	log_str(l, "reply", reply_text(&s->reply));
}

static void add_peer(struct log_line *l, const struct smtpc_session *s)
{
	if (s->peer.family == ADDR_NONE) {
		log_word(l, "addr", "local");
		return;
	}
	log_int(l, "port", s->peer.port);
	log_ip(l, "addr", &s->peer);
}

void smtpc_log_connected(const struct smtpc_session *s)
{
	struct log_line l;

	if (!log_on(LOG_LV_MAIL))
		return;
	log_begin(&l, LOG_LV_MAIL, LOG_SEV_NONE);
	add_id(&l, s, "da_sess", s->id);
	log_word(&l, "status", "connected");
	add_peer(&l, s);
	log_end(&l);
}

void smtpc_log_lost(const struct smtpc_session *s, enum msg_stage where, struct span why)
{
	struct log_line l;

	if (!begin(&l, s))
		return;
	if (s->job && !s->job->da_ta)
		log_id(&l, "ss_ta", s->job->env.ta);
	log_word(&l, "status", "lost");
	add_peer(&l, s);
	log_word(&l, "where", msg_stage_name(where));
	log_str(&l, "reason", why);
	log_end(&l);
}

void smtpc_log_mail(const struct smtpc_session *s)
{
	struct log_line l;

	if (!begin(&l, s))
		return;
	log_addr(&l, "mail", s->job->env.sender);
	add_reply(&l, s);
	log_end(&l);
}

void smtpc_log_rcpt(const struct smtpc_session *s, uint32_t i, const char *where)
{
	struct log_line l;

	if (!begin(&l, s))
		return;
	log_addr(&l, "rcpt", s->job->env.rcpt[i].addr);
	if (where)
		log_word(&l, "where", where);
	add_reply(&l, s);
	log_end(&l);
}

void smtpc_log_where(const struct smtpc_session *s, const char *where)
{
	struct log_line l;

	if (!begin(&l, s))
		return;
	log_word(&l, "where", where);
	log_int(&l, "size", (int64_t)smtpc_job_size(s->job));
	add_reply(&l, s);
	log_end(&l);
}

void smtpc_log_unreadable(uint64_t ta, uint64_t seg, int rc)
{
	char path[CDB_PATH_MAX];
	struct log_line l;

	if (rc == -ESTALE)
		return;
	log_begin(&l, LOG_LV_ERROR, LOG_SEV_ERR);
	log_word(&l, "func", "smtpc_content");
	log_id(&l, "ss_ta", ta);
	log_str(&l, "file",
		span_of(path, seg ? cdb_seg_path("", seg, path) : cdb_file_path("", ta, path)));
	log_errno(&l, rc);
	log_end(&l);
}
