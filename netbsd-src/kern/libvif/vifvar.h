/*
 * What the sources of vif share.
 */

#ifndef VIFVAR_H_
#define	VIFVAR_H_

#include <sys/param.h>
#include <sys/condvar.h>
#include <sys/mbuf.h>
#include <sys/mutex.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <net/if.h>
#include <net/if_ether.h>
#include <net/if_media.h>
#include <net/bpf.h>

#include <rump-sys/kern.h>

#include "rump_vif.h"

/* As many frames wait to be sent; more are dropped. */
#define	VIF_QUEUE	1024
/* As many parts all frames of a batch have together. */
#define	VIF_PARTS	1024

struct rump_vif {
	struct ethercom	vif_ec;		/* first: the tree casts */
	const struct rump_vif_ops *vif_ops;
	void		*vif_host;
	int		vif_unit;
	LIST_ENTRY(rump_vif) vif_link;	/* KERNEL_LOCK */
	uint32_t	vif_offered;	/* what the host can do; KERNEL_LOCK */
	uint32_t	vif_told;	/* what the host believes is in use */
	uint64_t	vif_disabled;	/* IFCAP_* its users do not want; KERNEL_LOCK */
	struct ifmedia	vif_media;

	struct rump_vif_stats vif_stats; /* rx: KERNEL_LOCK; tx: tx_lock */

	/* Sending: vif_transmit.c. */
	kmutex_t	tx_lock;
	kcondvar_t	tx_idle;
	struct mbuf	*tx_head;	/* tx_lock, linked by m_nextpkt */
	struct mbuf	**tx_tail;
	u_int		tx_length;
	bool		tx_busy;	/* a thread is sending */
	bool		tx_closed;
	void		*tx_softint;
	/* These belong to the thread that is sending. */
	struct mbuf	*tx_mbufs[RUMP_VIF_BATCH];
	struct rump_vif_tx tx_frames[RUMP_VIF_BATCH];
	struct rump_vif_part tx_parts[VIF_PARTS];
};

#define	VIF_IFP(vif)	(&(vif)->vif_ec.ec_if)
/* All checksums of TCP and UDP. */
#define	VIF_CSUM_FLAGS							\
	(M_CSUM_TCPv4 | M_CSUM_UDPv4 | M_CSUM_TCPv6 | M_CSUM_UDPv6)

/* Counters of the interface; newer trees keep them for each CPU. */
#if __has_include(<net/if_stats.h>)
#include <net/if_stats.h>
#define	VIF_COUNT(ifp, counter, n)	if_statadd(ifp, counter, n)
#else
#define	VIF_COUNT(ifp, counter, n)	((ifp)->counter += (n))
#endif

/* Listeners were not told directions in older trees. */
#ifdef BPF_D_IN
#define	VIF_TAP_IN(ifp, m)	bpf_mtap(ifp, m, BPF_D_IN)
#define	VIF_TAP_OUT(ifp, m)	bpf_mtap(ifp, m, BPF_D_OUT)
#else
#define	VIF_TAP_IN(ifp, m)	bpf_mtap(ifp, m)
#define	VIF_TAP_OUT(ifp, m)	bpf_mtap(ifp, m)
#endif

/* Routes that a cache has given out were not counted in older trees. */
#ifdef IFEF_MPSAFE
#define	VIF_ROUTE_UNREF(rt, ro)	rtcache_unref(rt, ro)
#else
#define	VIF_ROUTE_UNREF(rt, ro)	((void)(rt), (void)(ro))
#endif

uint32_t vif_offloads(struct rump_vif *);
void	vif_tell_state(struct rump_vif *);

void	vif_transmit_attach(struct rump_vif *);
void	vif_transmit_detach(struct rump_vif *);
int	vif_transmit(struct ifnet *, struct mbuf *);
void	vif_start(struct ifnet *);

#endif /* VIFVAR_H_ */
