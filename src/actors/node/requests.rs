//! What a group asks of a node: checked here, carried out by the instance's actor.

use super::{
    Core, NodeManager,
    instance::{Amend, Forget, InstanceActor, Pursue, Reboot},
    inventory::Known,
    record::{InstanceRecord, not_recorded},
};
use crate::{
    domain::{
        boot_phase::{BootPhase, Goal},
        id::{InstanceId, InterfaceId},
        port_filter::PortFilter,
        resources::Resources,
        time::Timestamp,
        trace::Cause,
    },
    hypervisor::console_tail::ConsoleTail,
    messages::{
        CallContext,
        node::{
            Accepted, BootInstance, CONSOLE_LIMIT_BYTES, ConsoleText, DescribeNode,
            ForgetInstances, NodeFault, ReadConsole, RebootInstance, SetFilters, StopInstance,
            TerminateInstance, UpdateInstance,
        },
        report::{InstanceReport, NodeReport},
    },
    store::Batch,
};
use actix::{Actor, Addr};
use futures_util::future::join_all;
use std::{collections::HashMap, rc::Rc, sync::Arc, time::UNIX_EPOCH};

impl Core {
    /// The room is taken before the record is written, so that two requests cannot both have it.
    pub(super) async fn boot_instance(
        self: &Rc<Self>,
        context: CallContext,
        asked: BootInstance,
        myself: Addr<NodeManager>,
    ) -> Result<Accepted, NodeFault> {
        let BootInstance { spec, revision } = asked;
        let instance = spec.instance.clone();
        if let Some(actor) = self.find(&context, &instance)? {
            let before = self.take_room_to_start(&instance, spec.resources)?;
            let interfaces: Vec<_> = spec.interfaces.iter().map(|it| it.id.clone()).collect();
            let pursue = Pursue {
                goal: Goal::Run,
                revision,
                force: false,
                spec: Some(spec),
                cause: context.cause(),
            };
            let answer = self.send(&actor, pursue).await;
            match &answer {
                Err(_) => self.give_room_back(before),
                Ok(_) => self.know_interfaces(&instance, interfaces),
            }
            return answer;
        }
        let generation = spec.filters_generation;
        let is_over = self.forgotten.borrow().contains(&instance);
        if is_over || self.refused.borrow().contains(&instance, generation) {
            return Err(NodeFault::Overtaken(instance));
        }
        let free = self.free();
        if !spec.resources.fits_in(free) {
            self.refused.borrow_mut().add(instance, generation);
            return Err(NodeFault::InsufficientCapacity { wanted: spec.resources, free });
        }
        let record = InstanceRecord {
            spec: *spec,
            revision,
            goal: Goal::Run,
            forced: false,
            reboot_due: false,
            settled: BootPhase::Accepted,
            reason: None,
        };
        self.know(&record, BootPhase::Accepted);
        if let Err(fault) = self.host.record(&record).await {
            self.book.borrow_mut().instances.remove(&instance);
            let fault = not_recorded(fault);
            if matches!(fault, NodeFault::NotRecorded(_)) {
                self.refused.borrow_mut().add(instance, generation);
            }
            return Err(fault);
        }
        let (host, manager) = (self.host.clone(), myself.clone());
        let actor = InstanceActor::new(host, manager, record, BootPhase::Accepted, None);
        self.start(actor.asked_by(context.cause()));
        self.touch(&myself);
        Ok(self.accepted())
    }

    /// Some may have been attached or detached while it was stopped.
    fn know_interfaces(&self, instance: &InstanceId, interfaces: Vec<InterfaceId>) {
        let mut book = self.book.borrow_mut();
        book.instances.change(instance, |known| known.interfaces = interfaces);
    }

    /// Puts an instance into the book, without an actor yet.
    pub(super) fn know(&self, record: &InstanceRecord, phase: BootPhase) {
        let known = Known {
            owner: record.spec.owner.clone(),
            interfaces: record
                .spec
                .interfaces
                .iter()
                .map(|interface| interface.id.clone())
                .collect(),
            actor: None,
            report: record.report(phase),
        };
        self.book.borrow_mut().instances.insert(known);
    }

    pub(super) fn begin(
        &self,
        record: InstanceRecord,
        phase: BootPhase,
        unplugged: Option<String>,
        myself: &Addr<NodeManager>,
    ) {
        let (host, manager) = (self.host.clone(), myself.clone());
        self.start(InstanceActor::new(host, manager, record, phase, unplugged));
    }

    fn start(&self, actor: InstanceActor) {
        let instance = actor.instance().clone();
        let actor = actor.start();
        self.book.borrow_mut().instances.change(&instance, |known| known.actor = Some(actor));
    }

    pub(super) async fn stop_instance(
        self: &Rc<Self>,
        context: CallContext,
        asked: StopInstance,
        _: Addr<NodeManager>,
    ) -> Result<Accepted, NodeFault> {
        let StopInstance { instance, revision, force } = asked;
        let actor = self.require(&context, &instance)?;
        self.send(
            &actor,
            Pursue { goal: Goal::Stop, revision, force, spec: None, cause: context.cause() },
        )
        .await
    }

    pub(super) async fn terminate_instance(
        self: &Rc<Self>,
        context: CallContext,
        asked: TerminateInstance,
        _: Addr<NodeManager>,
    ) -> Result<Accepted, NodeFault> {
        let TerminateInstance { instance, revision } = asked;
        let Some(actor) = self.find(&context, &instance)? else {
            // Nor is it to come, with a boot that was overtaken on its way.
            self.forget(&[], vec![instance.clone()]).await?;
            return Err(NodeFault::InstanceNotFound(instance));
        };
        self.send(
            &actor,
            Pursue { goal: Goal::End, revision, force: true, spec: None, cause: context.cause() },
        )
        .await
    }

    /// Ends every instance that is here, whatever anybody asked for before.
    pub(super) async fn end_all(self: &Rc<Self>) {
        let here: Vec<_> = {
            let book = self.book.borrow();
            let actors = book.instances.iter();
            actors.filter_map(|known| Some((known.report.revision, known.actor.clone()?))).collect()
        };
        for (revision, actor) in here {
            let end = Pursue {
                goal: Goal::End,
                revision: revision + 1,
                force: true,
                spec: None,
                cause: Cause::occasion("fenced"),
            };
            if let Err(fault) = self.send(&actor, end).await {
                log::error!("an instance of an evicted node goes on: {fault}");
            }
        }
    }

    pub(super) async fn reboot_instance(
        self: &Rc<Self>,
        context: CallContext,
        asked: RebootInstance,
        _: Addr<NodeManager>,
    ) -> Result<Accepted, NodeFault> {
        let actor = self.require(&context, &asked.instance)?;
        self.send(&actor, Reboot { revision: asked.revision }).await
    }

    pub(super) async fn update_instance(
        self: &Rc<Self>,
        context: CallContext,
        asked: UpdateInstance,
        _: Addr<NodeManager>,
    ) -> Result<Accepted, NodeFault> {
        let UpdateInstance { instance, generation, metadata, shutdown_behavior, elastic } = asked;
        let actor = self.require(&context, &instance)?;
        let metadata = Box::new(metadata);
        self.send(&actor, Amend::Facts { generation, metadata, shutdown_behavior, elastic }).await
    }

    pub(super) async fn set_filters(
        self: &Rc<Self>,
        _: CallContext,
        asked: SetFilters,
        _: Addr<NodeManager>,
    ) -> Result<Accepted, NodeFault> {
        // Before the filters that may be the first to name them.
        self.take_members(asked.generation, asked.members).await?;
        if asked.assignments.is_empty() {
            return Ok(self.accepted());
        }
        let filters: HashMap<InterfaceId, Arc<PortFilter>> = asked
            .assignments
            .into_iter()
            .flat_map(|assignment| {
                let filter = Arc::new(assignment.filter);
                assignment.interfaces.into_iter().map(move |id| (id, filter.clone()))
            })
            .collect();
        let generation = asked.generation;
        let amended: Vec<_> = {
            let book = self.book.borrow();
            let of = |id: &InterfaceId| Some((id.clone(), filters.get(id)?.clone()));
            let amend = |known: &Known| {
                let filters: Vec<_> = known.interfaces.iter().filter_map(of).collect();
                let actor = known.actor.clone().filter(|_| !filters.is_empty())?;
                Some(actor.send(Amend::Filters { generation, filters }))
            };
            book.instances.iter().filter_map(amend).collect()
        };
        for outcome in join_all(amended).await {
            // An actor that is gone has no ports.
            if let Ok(outcome) = outcome {
                outcome?;
            }
        }
        Ok(self.accepted())
    }

    pub(super) async fn forget_instances(
        self: &Rc<Self>,
        _: CallContext,
        asked: ForgetInstances,
        myself: Addr<NodeManager>,
    ) -> Result<Accepted, NodeFault> {
        let mut ended = Vec::new();
        let mut over = Vec::new();
        // What has not ended is not forgotten here, and is not to be elsewhere.
        let mut there = None;
        for instance in asked.instances {
            let actor = {
                let mut book = self.book.borrow_mut();
                let ended = |known: &Known| known.report.phase == BootPhase::Ended;
                match book.instances.get(&instance).map(ended) {
                    Some(true) => {
                        book.instances.change(&instance, |known| known.actor.take()).flatten()
                    }
                    Some(false) => {
                        there = Some(instance.clone());
                        None
                    }
                    None => {
                        over.push(instance);
                        continue;
                    }
                }
            };
            let Some(actor) = actor else { continue };
            over.push(instance.clone());
            match actor.send(Forget).await {
                Ok(record) => ended.push(record),
                Err(_) => log::error!("instance `{instance}`: its actor has ended already"),
            }
        }
        // The book follows the disk: what is still recorded is still answered for.
        if let Err(fault) = self.forget(&ended, over).await {
            for record in ended {
                self.begin(record, BootPhase::Ended, None, &myself);
            }
            return Err(fault);
        }
        for record in &ended {
            self.book.borrow_mut().instances.remove(&record.spec.instance);
        }
        self.touch(&myself);
        match there {
            Some(instance) => Err(NodeFault::Overtaken(instance)),
            None => Ok(self.accepted()),
        }
    }

    /// Takes records off the disk, and lets nothing that is over begin again.
    async fn forget(
        &self,
        ended: &[InstanceRecord],
        over: Vec<InstanceId>,
    ) -> Result<(), NodeFault> {
        let mut batch = Batch::default();
        for record in ended {
            batch.remove_record(record);
        }
        self.forgotten.borrow_mut().add(over, &mut batch);
        if batch.is_empty() {
            return Ok(());
        }
        self.host.commit(batch).await.map_err(not_recorded)
    }

    pub(super) async fn read_console(
        self: &Rc<Self>,
        context: CallContext,
        asked: ReadConsole,
        _: Addr<NodeManager>,
    ) -> Result<ConsoleText, NodeFault> {
        self.require(&context, &asked.instance)?;
        let host = self.host.clone();
        let read =
            self.host.threads.run(move || host.console(&asked.instance, CONSOLE_LIMIT_BYTES));
        match read.await {
            Ok(Ok(ConsoleTail { bytes, written_at })) => {
                let since_epoch = written_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let written_at = since_epoch.unwrap_or_default().as_millis() as i64;
                Ok(ConsoleText { bytes, written_at: Timestamp(written_at) })
            }
            Ok(Err(error)) => {
                Err(NodeFault::Failed(format!("the console cannot be read: {error}")))
            }
            Err(_) => Err(NodeFault::Failed("reading the console ended without a word".into())),
        }
    }

    pub(super) async fn describe_node(
        self: &Rc<Self>,
        _: CallContext,
        _: DescribeNode,
        _: Addr<NodeManager>,
    ) -> Result<NodeReport, NodeFault> {
        let everything = self.book.borrow().instances.everything();
        Ok(self.report(everything))
    }

    fn accepted(&self) -> Accepted {
        Accepted { generation: self.book.borrow().instances.generation() }
    }

    /// The instance's actor, if the node has it, for its owner or an administrator only: the
    /// paper's check at the Instance Manager itself.
    fn find(
        &self,
        context: &CallContext,
        instance: &InstanceId,
    ) -> Result<Option<Addr<InstanceActor>>, NodeFault> {
        let book = self.book.borrow();
        let Some(known) = book.instances.get(instance) else { return Ok(None) };
        if !context.on_behalf_of.may_control(&known.owner) {
            return Err(NodeFault::NotOwner(instance.clone()));
        }
        match &known.actor {
            Some(actor) => Ok(Some(actor.clone())),
            // It is being recorded for another request just now.
            None => Err(NodeFault::Overtaken(instance.clone())),
        }
    }

    fn require(
        &self,
        context: &CallContext,
        instance: &InstanceId,
    ) -> Result<Addr<InstanceActor>, NodeFault> {
        self.find(context, instance)?.ok_or_else(|| NodeFault::InstanceNotFound(instance.clone()))
    }

    /// A stopped instance holds its disk already, and needs the rest: taken before its actor is
    /// asked, which tells what it really holds. Returns how things were.
    fn take_room_to_start(
        &self,
        instance: &InstanceId,
        wanted: Resources,
    ) -> Result<Option<InstanceReport>, NodeFault> {
        let free = self.free();
        let mut book = self.book.borrow_mut();
        let known = book.instances.get(instance).map(|known| &known.report);
        let Some(before) = known.filter(|known| known.phase != BootPhase::Ended).cloned() else {
            return Ok(None);
        };
        let needed = wanted.less(before.held);
        if !needed.fits_in(free) {
            return Err(NodeFault::InsufficientCapacity { wanted: needed, free });
        }
        book.instances.change(instance, |known| known.report.held += needed);
        Ok(Some(before))
    }

    /// The actor refused, and will tell nothing.
    fn give_room_back(&self, before: Option<InstanceReport>) {
        let Some(before) = before else { return };
        let instance = before.instance.clone();
        self.book.borrow_mut().instances.change(&instance, |known| {
            if known.report.revision == before.revision && known.report.phase == before.phase {
                known.report = before;
            }
        });
    }

    async fn send<M>(&self, actor: &Addr<InstanceActor>, message: M) -> Result<Accepted, NodeFault>
    where
        M: actix::Message<Result = Result<(), NodeFault>> + Send + 'static,
        InstanceActor: actix::Handler<M>,
    {
        match actor.send(message).await {
            Ok(outcome) => outcome.map(|()| self.accepted()),
            Err(_) => Err(NodeFault::Failed("the instance's actor has ended".into())),
        }
    }
}
