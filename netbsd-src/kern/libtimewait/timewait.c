/*
 * New TCP connections that no old one holds up.
 *
 * A server that closed first remembers a connection for a minute.  A client
 * that uses the same port again in that time gets through if its sequence
 * numbers are beyond the old connection's window; else it sends its SYN into
 * the void, and again after six seconds.  The tree picks ports at random and
 * lets sequence numbers wrap every 256 connections, so that happens often to
 * whoever connects often.
 *
 * Here
 * - sequence numbers are those of RFC 6528, with a clock of 64 ns, so that they
 *   wrap after more than four minutes.  It is the clock on the wall: a program
 *   that is started again is not behind itself;
 * - ports are taken in turn, so that one comes back as late as possible.  The
 *   first is random, so that a program that is started again does not begin
 *   where it began before.
 *
 * A socket that asks for another choice of ports (IP_PORTALGO) gets it.
 */

#include <sys/param.h>
#include <sys/cprng.h>
#include <sys/kauth.h>
#include <sys/protosw.h>
#include <sys/socketvar.h>
#include <sys/sysctl.h>
#include <sys/time.h>

#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/ip.h>
#include <netinet/ip_var.h>
#include <netinet/in_pcb.h>
#include <netinet/ip6.h>
#include <netinet6/ip6_var.h>
#include <netinet6/in6_pcb.h>
#include <netinet/portalgo.h>
#include <netinet/tcp.h>
#include <netinet/tcp_seq.h>
#include <netinet/tcp_timer.h>
#include <netinet/tcp_var.h>

/* The tree's own definitions. */
int	portalgo_randport_tree(uint16_t *, struct inpcb_hdr *, kauth_cred_t);
tcp_seq	tcp_new_iss_tree(struct tcpcb *, tcp_seq);
tcp_seq	tcp_new_iss1_tree(void *, void *, u_int16_t, u_int16_t, size_t, tcp_seq);

/*
 * Makes the tree's next sequence number the hash of the connection plus the
 * clock.  Serialised by softnet_lock, as the tree's counter is.
 */
static void
set_clock(void)
{
	struct timespec now;

	nanotime(&now);
	tcp_do_rfc1948 = 1;
	/* The tree adds its increment first. */
	tcp_iss_seq = (tcp_seq)
	    (((uint64_t)now.tv_sec * 1000000000 + now.tv_nsec) >> 6) -
	    TCP_ISSINCR;
}

tcp_seq
tcp_new_iss(struct tcpcb *tp, tcp_seq addin)
{

	set_clock();
	return tcp_new_iss_tree(tp, addin);
}

tcp_seq
tcp_new_iss1(void *laddr, void *faddr, u_int16_t lport, u_int16_t fport,
    size_t size, tcp_seq addin)
{

	set_clock();
	return tcp_new_iss1_tree(laddr, faddr, lport, fport, size, addin);
}

static int
in_turn(uint16_t *port, struct inpcb_hdr *pcb, kauth_cred_t cred)
{
	int error;

	pcb->inph_portalgo = PORTALGO_BSD;
	error = portalgo_randport_tree(port, pcb, cred);
	pcb->inph_portalgo = PORTALGO_DEFAULT;
	return error;
}

int
portalgo_randport(uint16_t *port, struct inpcb_hdr *pcb, kauth_cred_t cred)
{
	static bool started[2][2];
	bool inet = pcb->inph_af == AF_INET;
	bool stream = pcb->inph_socket->so_type == SOCK_STREAM;
	int *min = inet ? &anonportmin : &ip6_anonportmin;
	int *max = inet ? &anonportmax : &ip6_anonportmax;
	int end = *max;
	int first, error;

	if (pcb->inph_portalgo != PORTALGO_DEFAULT)
		return portalgo_randport_tree(port, pcb, cred);
	if (started[inet][stream] || *min >= end)
		return in_turn(port, pcb, cred);

	/* The turn begins at the end of the range. */
	started[inet][stream] = true;
	*max = first = *min + cprng_fast32() % (end - *min + 1);
	error = in_turn(port, pcb, cred);
	/* Unless the range was set meanwhile. */
	if (*max == first)
		*max = end;
	return error == 0 ? 0 : in_turn(port, pcb, cred);
}
