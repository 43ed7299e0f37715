/*
 * supervisor/mcp_sock.h - the listening sockets of the units: kept over restarts, handed out.
 *
 * Owner: mcp's only thread. Nothing here blocks.
 */
#ifndef SUPERVISOR_MCP_SOCK_H
#define SUPERVISOR_MCP_SOCK_H
#include "supervisor/mcp_unit.h"

#include <stdio.h>

/* Bind all sockets of all units, and their pass_fd_sockets; on an error none. 0 or a negative
 * errno; says why on out. */
int mcp_sock_open_all(struct mcp *m, FILE *out);

/* Close everything and remove socket files. */
void mcp_sock_close_all(struct mcp *m);

/* The listening sockets of one unit. Opening says on the log what came of it; open is no error. */
int mcp_sock_open(struct mcp_unit *u);
void mcp_sock_close(struct mcp_unit *u);

/* A process has connected to pass_fd_socket: send the descriptors if it is one of the unit's. */
void mcp_sock_pass(struct mcp *m, struct mcp_unit *u);

/* accept, nostartaccept: somebody has connected to socket i of the unit. */
void mcp_sock_accept(struct mcp *m, struct mcp_unit *u, unsigned i);

/* Does mcp itself look at socket i of the unit now? */
bool mcp_sock_is_watched(const struct mcp *m, const struct mcp_unit *u, unsigned i,
			 usec_t now_usec);

#endif
