//! An optimizer as a trait, and the C tables around it.

use std::os::raw::{c_char, c_void};

use crate::abi::*;
use crate::boundary::*;

/// A list of decisions, or JSON that only its space understands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Genotype {
    pub decisions: Vec<i32>,
    pub opaque: Vec<u8>,
}

impl Genotype {
    unsafe fn copy(lent: &weft_genotype) -> Genotype {
        Genotype { decisions: slice(lent.decisions, lent.count).to_vec(), opaque: bytes(lent.opaque).to_vec() }
    }

    fn lend(&self) -> weft_genotype {
        weft_genotype {
            decisions: self.decisions.as_ptr(),
            count: self.decisions.len() as u64,
            opaque: weft_text { data: self.opaque.as_ptr() as *const c_char, size: self.opaque.len() as u64 },
        }
    }
}

/// The space that is searched, as far as this plugin needs it.
pub trait Space {
    fn sample(&self, rng: &mut weft_rng) -> Result<Genotype, Failure>;
    fn mutate(&self, parent: &Genotype, rng: &mut weft_rng) -> Result<Genotype, Failure>;
}

/// How a trial ended.
pub struct TrialResult {
    pub state: i32,
    pub genotype: Genotype,
    /// Always to be maximised; of trials that are complete.
    pub reward: f64,
}

pub trait Optimizer: Sized {
    fn new(context: &Context, space: Box<dyn Space>) -> Result<Self, Failure>;
    /// At most `capacity` genotypes; fewer, or none, means: waiting for results.
    fn ask(&mut self, capacity: u64) -> Result<Vec<Genotype>, Failure>;
    fn tell(&mut self, result: TrialResult);
}

// ---- the space of the pipeline ----------------------------------------------------------------------------------------

struct SpaceOfPipeline {
    instance: *mut c_void,
    space: &'static weft_space_1,
    mutation: &'static weft_mutation_1,
}

impl SpaceOfPipeline {
    fn find(context: &Context) -> Result<SpaceOfPipeline, Failure> {
        let handle = context.collaborator("space")?;
        match unsafe { (find(handle, WEFT_SPACE_1), find(handle, WEFT_MUTATION_1)) } {
            (Some(space), Some(mutation)) => Ok(SpaceOfPipeline { instance: handle.instance, space, mutation }),
            _ => Err(Failure::invalid("needs a space with space.mutation")),
        }
    }
}

/// The genotype that `call` hands over to the sink it is given.
fn receive(
    call: impl FnOnce(*const weft_genotype_sink, *const weft_writer) -> weft_status,
) -> Result<Genotype, Failure> {
    unsafe extern "C" fn take(context: *mut c_void, genotype: *const weft_genotype) {
        *(context as *mut Option<Genotype>) = Some(Genotype::copy(&*genotype));
    }
    let mut received: Option<Genotype> = None;
    let context = &mut received as *mut Option<Genotype> as *mut c_void;
    let sink = weft_genotype_sink { context, receive: Some(take) };
    check(|error| call(&sink, error))?;
    received.ok_or_else(|| Failure::failed("the space succeeded without handing over a genotype"))
}

impl Space for SpaceOfPipeline {
    fn sample(&self, rng: &mut weft_rng) -> Result<Genotype, Failure> {
        let sample = self.space.sample.ok_or_else(|| Failure::failed("the space cannot sample"))?;
        receive(|out, error| unsafe { sample(self.instance, rng, out, error) })
    }

    fn mutate(&self, parent: &Genotype, rng: &mut weft_rng) -> Result<Genotype, Failure> {
        let mutate = self.mutation.mutate.ok_or_else(|| Failure::failed("the space cannot mutate"))?;
        receive(|out, error| unsafe { mutate(self.instance, &parent.lend(), rng, out, error) })
    }
}

// ---- the tables -------------------------------------------------------------------------------------------------------

unsafe extern "C" fn create_optimizer<T: Optimizer>(
    context: *const weft_context,
    instance: *mut *mut c_void,
    error: *const weft_writer,
) -> weft_status {
    create(context, instance, error, |context| T::new(context, Box::new(SpaceOfPipeline::find(context)?)))
}

unsafe extern "C" fn ask<T: Optimizer>(
    this: *mut c_void,
    capacity: u64,
    out: *const weft_proposal_sink,
    error: *const weft_writer,
) -> weft_status {
    guard(error, || {
        let receive = (*out).receive.ok_or_else(|| Failure::failed("the host takes no proposals"))?;
        for genotype in (*(this as *mut T)).ask(capacity)? {
            let proposal = weft_proposal {
                size: std::mem::size_of::<weft_proposal>() as u64,
                genotype: genotype.lend(),
                parent: -1,
                transfer: lend(""),
                fidelity: lend(""),
                notes: lend(""),
            };
            receive((*out).context, &proposal);
        }
        Ok(())
    })
}

unsafe extern "C" fn tell<T: Optimizer>(
    this: *mut c_void,
    result: *const weft_result,
    error: *const weft_writer,
) -> weft_status {
    guard(error, || {
        let result = &*result;
        let genotype = Genotype::copy(&result.genotype);
        (*(this as *mut T)).tell(TrialResult { state: result.state, genotype, reward: result.reward });
        Ok(())
    })
}

unsafe extern "C" fn finished(_this: *mut c_void, out: *mut i32, error: *const weft_writer) -> weft_status {
    guard(error, || {
        *out = 0;
        Ok(())
    })
}

struct Tables<T>(std::marker::PhantomData<T>);

impl<T: Optimizer> Tables<T> {
    const OPTIMIZER: weft_optimizer_1 = weft_optimizer_1 {
        size: std::mem::size_of::<weft_optimizer_1>() as u64,
        ask: Some(ask::<T>),
        tell: Some(tell::<T>),
        finished: Some(finished),
        retain: None, // weights are not inherited
        resumable: None, // and no trial goes on from another
    };
}

unsafe extern "C" fn find_interface<T: Optimizer>(id: *const c_char) -> *const c_void {
    if is(id, WEFT_OPTIMIZER_1) {
        return &Tables::<T>::OPTIMIZER as *const weft_optimizer_1 as *const c_void;
    }
    std::ptr::null()
}

/// `name` ends in a zero byte.
pub const fn component<T: Optimizer>(name: &'static str) -> weft_component {
    weft_component {
        size: std::mem::size_of::<weft_component>() as u64,
        kind: "optimizer\0".as_ptr() as *const c_char,
        name: name.as_ptr() as *const c_char,
        create: Some(create_optimizer::<T>),
        destroy: Some(destroy::<T>),
        find_interface: Some(find_interface::<T>),
    }
}
