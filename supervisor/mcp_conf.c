#include "supervisor/mcp_conf.h"

#include "core/span.h"
#include "supervisor/argv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WHY_BYTES = 200 };

static void check_account(struct mcp_conf *mc, struct mcp_program *p, bool as_root)
{
	const char *user = p->common.user, *group = p->common.group;
	char why[WHY_BYTES];

	if (user && account_find(user, NULL, &p->account, why, sizeof(why))) {
		conf_section_error(mc->file, p->section, "user", "%s", why);
		return;
	}
	uid_t uid = p->account.uid;
	account_free(&p->account);
	if (as_root && user && uid == 0 && mcp_conf_is_main(p)) {
		conf_section_error(mc->file, p->section, "user", "%s does not run as root",
				   p->keyword);
		return;
	}
	if (!as_root && user && uid != geteuid()) {
		conf_section_error(mc->file, p->section, "user",
				   "only root can start a program as %s; leave the option out",
				   user);
		return;
	}
	if (account_find(as_root ? user : NULL, group, &p->account, why, sizeof(why)))
		conf_section_error(mc->file, p->section, group ? "group" : "user", "%s", why);
	else if (!as_root && p->account.gid != getegid())
		conf_section_error(mc->file, p->section, "group",
				   "only root can start a program with the group %s", group);
}

static void check_words(struct mcp_conf *mc, struct mcp_program *p)
{
	char **argv = argv_split(p->common.arguments, NULL);

	if (!argv)
		conf_section_error(mc->file, p->section, "arguments", "%s",
				   errno == E2BIG ? "too many words" : "a quote is not closed");
	free(argv);
}

/* Owner and group of a unix socket: its own options, else the account of the program. */
static void socket_owner(struct mcp_conf *mc, struct mcp_program *p, const struct conf_listen *l,
			 struct listen_spec *s, bool as_root)
{
	struct account a;
	char why[WHY_BYTES];

	s->mode = 0777 & ~(mode_t)l->umask;
	s->uid = as_root ? p->account.uid : (uid_t)-1;
	s->gid = as_root ? p->account.gid : (gid_t)-1;
	if (!l->user && !l->group)
		return;
	if (account_find(l->user ? l->user : p->account.user, l->group, &a, why, sizeof(why))) {
		conf_section_error(mc->file, p->section,
				   l->group ? "listen_socket.group" : "listen_socket.user", "%s",
				   why);
		return;
	}
	if (l->user)
		s->uid = a.uid;
	s->gid = a.gid;
	account_free(&a);
}

static void take_sockets(struct mcp_conf *mc, struct mcp_program *p, bool as_root)
{
	const struct conf_listen *l = p->common.listen_socket.item;
	unsigned sockets = 0;

	for (unsigned i = 0; i < p->common.listen_socket.count; i++) {
		bool two = l[i].type == CONF_SOCKET_INET && !l[i].address;

		sockets += two ? 2 : 1;
		if (sockets > FDPASS_MAX) {
			conf_section_error(mc->file, p->section, "listen_socket",
					   "more than %d sockets", FDPASS_MAX);
			return;
		}
		struct listen_spec *s = &p->listen[p->listen_count++];

		*s = (struct listen_spec){ .address = l[i].address,
					   .port = (uint16_t)l[i].port,
					   .uid = (uid_t)-1,
					   .gid = (gid_t)-1 };
		if (l[i].type == CONF_SOCKET_UNIX) {
			s->path = l[i].path;
			socket_owner(mc, p, &l[i], s, as_root);
		}
	}
}

static bool is_called(const struct mcp_program *p, const char *name)
{
	return span_caseeq(span_str(p->name), span_str(name)) ||
	       span_caseeq(span_str(p->keyword), span_str(name));
}

/* Between programs; the list is in its final order. */
static void check_together(struct mcp_conf *mc, bool as_root)
{
	const struct mcp_program *smtps = NULL;

	for (unsigned i = 0; i < mc->count; i++) {
		struct mcp_program *p = &mc->program[i];
		const struct conf_list *names = &p->common.restart_dependencies;

		for (unsigned n = 0; n < names->count; n++)
			for (unsigned k = 0; k < mc->count; k++)
				if (k != i && is_called(&mc->program[k], names->item[n]))
					p->restarts_with |= (uint64_t)1 << k;
		for (unsigned k = 0; k < i; k++) {
			const struct mcp_program *q = &mc->program[k];

			if (strcmp(p->name, q->name) == 0)
				conf_section_error(mc->file, p->section, NULL,
						   "two programs called %s would share a log file",
						   p->name);
			if (p->common.pass_fd_socket && q->common.pass_fd_socket &&
			    strcmp(p->common.pass_fd_socket, q->common.pass_fd_socket) == 0)
				conf_section_error(mc->file, p->section, "pass_fd_socket",
						   "%s is used by %s too", p->common.pass_fd_socket,
						   q->name);
		}
		if (strcmp(p->keyword, "smtps") != 0)
			continue;
		if (smtps && as_root && smtps->account.uid != p->account.uid)
			conf_section_error(mc->file, p->section, "user",
					   "all smtps need the same user, who owns the content");
		smtps = p;
	}
}

static int by_stop_order(const void *a, const void *b)
{
	const struct mcp_program *p = a, *q = b;

	if (p->rank != q->rank)
		return p->rank < q->rank ? -1 : 1;
	/* What stands first in the file starts first. */
	return p->section < q->section ? 1 : -1;
}

static void take_section(struct mcp_conf *mc, unsigned i, bool as_root)
{
	const struct conf_section *s = conf_section_get(mc->file, i);
	struct mcp_program *p = &mc->program[mc->count];
	bool is_main = plan_rank(s->keyword) < PLAN_RANK_SERVICE;

	if (mc->count == PLAN_UNITS_MAX) {
		conf_section_error(mc->file, i, NULL, "more than %d programs", PLAN_UNITS_MAX);
		return;
	}
	memset(p, 0, sizeof(*p));
	if (conf_apply_common(mc->file, i, &p->common, !is_main) ||
	    conf_common_check(mc->file, i, &p->common, as_root))
		return;
	p->keyword = s->keyword;
	p->name = s->name ? s->name : s->keyword;
	p->section = i;
	p->rank = plan_rank(s->keyword);
	mc->count++;
	check_account(mc, p, as_root);
	check_words(mc, p);
	take_sockets(mc, p, as_root);
}

int mcp_conf_load(const char *path, bool as_root, struct mcp_conf *mc, FILE *out)
{
	memset(mc, 0, sizeof(*mc));
	mc->file = conf_new();
	if (!conf_read(mc->file, path) && !conf_apply_global(mc->file, &mc->global)) {
		for (unsigned i = 0; i < conf_section_count(mc->file); i++)
			take_section(mc, i, as_root);
		qsort(mc->program, mc->count, sizeof(mc->program[0]), by_stop_order);
		check_together(mc, as_root);
	}
	if (conf_error_count(mc->file)) {
		conf_print_report(mc->file, out);
		return -EINVAL;
	}
	if (!mc->count) {
		fprintf(out, "%s: there is no section of a program to start\n", path);
		return -EINVAL;
	}
	return 0;
}

void mcp_conf_free(struct mcp_conf *mc)
{
	for (unsigned i = 0; i < mc->count; i++)
		account_free(&mc->program[i].account);
	if (mc->file)
		conf_free(mc->file);
}
