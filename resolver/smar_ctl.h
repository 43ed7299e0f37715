/*
 * resolver/smar_ctl.h - the control socket of smar: the verb `reload` beside those of core/ctl.h.
 *
 * Owner: one loop, the one in which the reload thread delivers its results.
 */
#ifndef RESOLVER_SMAR_CTL_H
#define RESOLVER_SMAR_CTL_H
#include "resolver/reload.h"

#include "core/ctl.h"

struct smar_ctl;

/* NULL: *error is -errno. */
struct smar_ctl *smar_ctl_new(struct loop *l, const char *path, int *error);
/* Requests before this are refused. */
void smar_ctl_set_reload(struct smar_ctl *c, struct reload *r);
/* A reload has ended: answers those who wait for it. */
void smar_ctl_reloaded(struct smar_ctl *c, const struct reload_result *result);
void smar_ctl_free(struct smar_ctl *own);

#endif
