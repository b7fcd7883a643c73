//! weft/abi.h in Rust: what crosses the library's boundary, under the names that it has there. The header says what
//! each member means, docs/other-languages.md when each function is called.
#![allow(non_camel_case_types, dead_code)]

use std::os::raw::{c_char, c_void};

pub const WEFT_MAGIC: [u8; 8] = *b"WEFTPLG\0";
pub const WEFT_ABI_MAJOR: u16 = 1;
pub const WEFT_ABI_MINOR: u16 = 1;

pub type weft_status = i32;
pub const WEFT_OK: weft_status = 0;
pub const WEFT_INVALID: weft_status = 1;
pub const WEFT_FAILED: weft_status = 2;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct weft_text {
    pub data: *const c_char,
    pub size: u64,
}

#[repr(C)]
pub struct weft_writer {
    pub context: *mut c_void,
    pub write: Option<unsafe extern "C" fn(context: *mut c_void, data: *const c_char, size: u64)>,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct weft_rng {
    pub key: u64,
    pub stream: u64,
    pub counter: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct weft_genotype {
    pub decisions: *const i32,
    pub count: u64,
    pub opaque: weft_text,
}

#[repr(C)]
pub struct weft_genotype_sink {
    pub context: *mut c_void,
    pub receive: Option<unsafe extern "C" fn(context: *mut c_void, genotype: *const weft_genotype)>,
}

// ---- components -----------------------------------------------------------------------------------------------------

pub type weft_create = unsafe extern "C" fn(
    context: *const weft_context,
    instance: *mut *mut c_void,
    error: *const weft_writer,
) -> weft_status;

#[repr(C)]
pub struct weft_component {
    pub size: u64,
    pub kind: *const c_char,
    pub name: *const c_char,
    pub create: Option<weft_create>,
    pub destroy: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    pub find_interface: Option<unsafe extern "C" fn(id: *const c_char) -> *const c_void>,
}
unsafe impl Sync for weft_component {}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct weft_handle {
    pub component: *const weft_component,
    pub instance: *mut c_void,
}

#[repr(C)]
pub struct weft_context {
    pub size: u64,
    pub configuration: weft_text,
    pub study: weft_text,
    pub rng: weft_rng,
    pub host: *mut c_void,
    pub log: Option<unsafe extern "C" fn(host: *mut c_void, level: i32, message: weft_text)>,
    pub collaborator: Option<
        unsafe extern "C" fn(
            host: *mut c_void,
            role: weft_text,
            found: *mut weft_handle,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    /// Since 1.1: read it only if `size` covers it.
    pub folder: weft_text,
    /// Since 1.1, as are the next two.
    pub make: Option<
        unsafe extern "C" fn(
            host: *mut c_void,
            kind: weft_text,
            plugin: weft_text,
            around: weft_text,
            made: *mut weft_handle,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub release: Option<unsafe extern "C" fn(host: *mut c_void, made: weft_handle)>,
    pub shared: Option<
        unsafe extern "C" fn(
            kind: weft_text,
            name: weft_text,
            found: *mut weft_handle,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

#[repr(C)]
pub struct weft_descriptor {
    pub magic: [u8; 8],
    pub struct_size: u32,
    pub abi_major: u16,
    pub abi_minor: u16,
    pub build_tag: *const c_char,
    pub torch_tag: *const c_char,
    pub components: *const weft_component,
    pub component_count: u64,
    pub component_stride: u64,
}
unsafe impl Sync for weft_descriptor {}

// ---- space ----------------------------------------------------------------------------------------------------------

pub const WEFT_SPACE_1: &str = "weft.space/1\0";

#[repr(C)]
pub struct weft_space_1 {
    pub size: u64,
    pub sample: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            rng: *mut weft_rng,
            out: *const weft_genotype_sink,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub decode: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            genotype: *const weft_genotype,
            out: *const weft_writer,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub notation: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            genotype: *const weft_genotype,
            out: *const weft_writer,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub parse: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            notation: weft_text,
            out: *const weft_genotype_sink,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

pub const WEFT_CATEGORICAL: i32 = 0;
pub const WEFT_ORDINAL: i32 = 1;
pub const WEFT_REFERENCE: i32 = 2;
pub const WEFT_NO_STEP: i32 = -1;

#[repr(C)]
pub struct weft_decision {
    pub size: u64,
    pub name: weft_text,
    pub group: weft_text,
    pub kind: i32,
    pub step: i32,
    pub options: *const weft_text,
    pub option_count: u64,
    pub named_steps: *const i32,
}

#[repr(C)]
pub struct weft_decision_sink {
    pub context: *mut c_void,
    pub receive: Option<unsafe extern "C" fn(context: *mut c_void, decision: *const weft_decision)>,
}

pub const WEFT_DECISIONS_1: &str = "weft.space.decisions/1\0";

#[repr(C)]
pub struct weft_decisions_1 {
    pub size: u64,
    pub next: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            taken: *const i32,
            count: u64,
            out: *const weft_decision_sink,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub complete: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            taken: *const i32,
            count: u64,
            out: *mut i32,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub state: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            taken: *const i32,
            count: u64,
            out: *const weft_writer,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

pub const WEFT_MUTATION_1: &str = "weft.space.mutation/1\0";

#[repr(C)]
pub struct weft_mutation_1 {
    pub size: u64,
    pub mutate: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            parent: *const weft_genotype,
            rng: *mut weft_rng,
            out: *const weft_genotype_sink,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

pub const WEFT_CROSSOVER_1: &str = "weft.space.crossover/1\0";

#[repr(C)]
pub struct weft_crossover_1 {
    pub size: u64,
    pub cross: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            first: *const weft_genotype,
            second: *const weft_genotype,
            rng: *mut weft_rng,
            out: *const weft_genotype_sink,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

pub const WEFT_MORPHISMS_1: &str = "weft.space.morphisms/1\0";
pub const WEFT_SUPERNET_1: &str = "weft.space.supernet/1\0";
pub const WEFT_RELAXATION_1: &str = "weft.space.relaxation/1\0";

#[repr(C)]
pub struct weft_morphisms_1 {
    pub size: u64,
    pub morphs: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            parent: *const weft_genotype,
            out: *const weft_writer,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub draw: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            parent: *const weft_genotype,
            rng: *mut weft_rng,
            out: *const weft_writer,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub morph: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            parent: *const weft_genotype,
            morph: weft_text,
            rng: *mut weft_rng,
            child: *const weft_genotype_sink,
            transfer: *const weft_writer,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

pub const WEFT_ENCODING_1: &str = "weft.space.encoding/1\0";

#[repr(C)]
pub struct weft_encoding_1 {
    pub size: u64,
    pub length: Option<
        unsafe extern "C" fn(this: *mut c_void, out: *mut u64, error: *const weft_writer) -> weft_status,
    >,
    pub encode: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            genotype: *const weft_genotype,
            values: *mut f64,
            length: u64,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

// ---- optimizer ------------------------------------------------------------------------------------------------------

#[repr(C)]
pub struct weft_proposal {
    pub size: u64,
    pub genotype: weft_genotype,
    pub parent: i64,
    pub transfer: weft_text,
    pub fidelity: weft_text,
    pub notes: weft_text,
}

#[repr(C)]
pub struct weft_proposal_sink {
    pub context: *mut c_void,
    pub receive: Option<unsafe extern "C" fn(context: *mut c_void, proposal: *const weft_proposal)>,
}

pub const WEFT_WAITING: i32 = 0;
pub const WEFT_RUNNING: i32 = 1;
pub const WEFT_PAUSED: i32 = 2;
pub const WEFT_COMPLETE: i32 = 3;
pub const WEFT_PRUNED: i32 = 4;
pub const WEFT_FAIL: i32 = 5;

#[repr(C)]
pub struct weft_result {
    pub size: u64,
    pub trial: i64,
    pub state: i32,
    pub genotype: weft_genotype,
    pub reward: f64,
    pub objectives: *const f64,
    pub objective_count: u64,
    pub fidelity: weft_text,
    pub metrics: weft_text,
    pub notes: weft_text,
    pub reason: weft_text,
    /// Since 1.1.
    pub predicted: f64,
}

#[repr(C)]
pub struct weft_trials_sink {
    pub context: *mut c_void,
    pub receive: Option<unsafe extern "C" fn(context: *mut c_void, trials: *const i64, count: u64)>,
}

pub const WEFT_OPTIMIZER_1: &str = "weft.optimizer/1\0";

#[repr(C)]
pub struct weft_optimizer_1 {
    pub size: u64,
    pub ask: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            capacity: u64,
            out: *const weft_proposal_sink,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub tell: Option<
        unsafe extern "C" fn(this: *mut c_void, result: *const weft_result, error: *const weft_writer) -> weft_status,
    >,
    pub finished: Option<
        unsafe extern "C" fn(this: *mut c_void, out: *mut i32, error: *const weft_writer) -> weft_status,
    >,
    /// Since 1.1.
    pub retain: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            out: *const weft_trials_sink,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    /// Since 1.1.
    pub resumable: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            out: *const weft_trials_sink,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

// ---- evaluator ------------------------------------------------------------------------------------------------------

#[repr(C)]
pub struct weft_request {
    pub size: u64,
    pub trial: i64,
    pub genotype: weft_genotype,
    pub fidelity: weft_text,
    pub transfer: weft_text,
    pub folder: weft_text,
    pub parent_folder: weft_text,
    pub rng: weft_rng,
    /// Since 1.1: of the trial that is resumed, and of the parent whose weights the transfer is about.
    pub resume_folder: weft_text,
    pub inherit_folder: weft_text,
}

#[repr(C)]
pub struct weft_reporter {
    pub size: u64,
    pub context: *mut c_void,
    pub report: Option<unsafe extern "C" fn(context: *mut c_void, report: weft_text) -> i32>,
}

pub const WEFT_EVALUATOR_1: &str = "weft.evaluator/1\0";

#[repr(C)]
pub struct weft_evaluator_1 {
    pub size: u64,
    pub evaluate: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            request: *const weft_request,
            reporter: *const weft_reporter,
            metrics: *const weft_writer,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

pub const WEFT_TASK_1: &str = "weft.task/1\0";

#[repr(C)]
pub struct weft_task_1 {
    pub size: u64,
    pub describe: Option<
        unsafe extern "C" fn(this: *mut c_void, out: *const weft_writer, error: *const weft_writer) -> weft_status,
    >,
}

// ---- objective ------------------------------------------------------------------------------------------------------

pub const WEFT_OBJECTIVE_1: &str = "weft.objective/1\0";

#[repr(C)]
pub struct weft_objective_1 {
    pub size: u64,
    pub direction: Option<
        unsafe extern "C" fn(this: *mut c_void, out: *mut i32, error: *const weft_writer) -> weft_status,
    >,
    pub before: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            candidate: weft_text,
            value: *mut f64,
            known: *mut i32,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub after: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            metrics: weft_text,
            value: *mut f64,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    /// Since 1.1.
    pub range: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            least: *mut f64,
            largest: *mut f64,
            known: *mut i32,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

// ---- predictor and stopper, since 1.1 -------------------------------------------------------------------------------

#[repr(C)]
pub struct weft_curve {
    pub size: u64,
    pub trial: i64,
    pub epochs: *const i32,
    pub rewards: *const f64,
    pub count: u64,
    pub horizon: i32,
    pub features: weft_text,
    pub fidelity: weft_text,
    pub report: weft_text,
}

#[repr(C)]
pub struct weft_prediction {
    pub size: u64,
    pub mean: f64,
    pub deviation: f64,
    pub probability_above: f64,
}

#[repr(C)]
pub struct weft_prediction_sink {
    pub context: *mut c_void,
    pub receive: Option<unsafe extern "C" fn(context: *mut c_void, prediction: *const weft_prediction)>,
}

pub const WEFT_PREDICTOR_1: &str = "weft.predictor/1\0";

#[repr(C)]
pub struct weft_predictor_1 {
    pub size: u64,
    pub fit: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            curves: *const *const weft_curve,
            count: u64,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub predict: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            partial: *const weft_curve,
            horizon: i32,
            threshold: f64,
            out: *const weft_prediction_sink,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

#[repr(C)]
pub struct weft_judgement {
    pub size: u64,
    pub verdict: i32,
    pub predicted: f64,
    pub reason: weft_text,
}

#[repr(C)]
pub struct weft_judgement_sink {
    pub context: *mut c_void,
    pub receive: Option<unsafe extern "C" fn(context: *mut c_void, judgement: *const weft_judgement)>,
}

pub const WEFT_STOPPER_1: &str = "weft.stopper/1\0";

#[repr(C)]
pub struct weft_stopper_1 {
    pub size: u64,
    pub observe: Option<
        unsafe extern "C" fn(this: *mut c_void, curve: *const weft_curve, error: *const weft_writer) -> weft_status,
    >,
    pub judge: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            curve: *const weft_curve,
            out: *const weft_judgement_sink,
            error: *const weft_writer,
        ) -> weft_status,
    >,
    pub end: Option<
        unsafe extern "C" fn(
            this: *mut c_void,
            curve: *const weft_curve,
            state: i32,
            reward: f64,
            error: *const weft_writer,
        ) -> weft_status,
    >,
}

// ---- the export line ------------------------------------------------------------------------------------------------

/// The last line of a plugin: `export!(COMPONENT)`, a `weft_component`. Writes the descriptor, and the stamp that the
/// host reads from the file before it opens it.
#[macro_export]
macro_rules! export {
    ($component:expr) => {
        const STAMP_TEXT: &[u8] = b"weft abi=1.0 build=rustc/std torch=\0";

        #[used]
        #[link_section = ".weft.stamp"]
        static STAMP: [u8; STAMP_TEXT.len()] = *b"weft abi=1.0 build=rustc/std torch=\0";

        static COMPONENTS: [$crate::abi::weft_component; 1] = [$component];

        // The torch tag, which is empty, is the end of the stamp: the linker drops what nothing refers to.
        #[no_mangle]
        #[allow(non_upper_case_globals)]
        pub static weft_plugin: $crate::abi::weft_descriptor = $crate::abi::weft_descriptor {
            magic: $crate::abi::WEFT_MAGIC,
            struct_size: std::mem::size_of::<$crate::abi::weft_descriptor>() as u32,
            abi_major: $crate::abi::WEFT_ABI_MAJOR,
            abi_minor: $crate::abi::WEFT_ABI_MINOR,
            build_tag: b"rustc/std\0".as_ptr() as *const std::os::raw::c_char,
            torch_tag: unsafe { STAMP.as_ptr().add(STAMP_TEXT.len() - 1) as *const std::os::raw::c_char },
            components: COMPONENTS.as_ptr(),
            component_count: COMPONENTS.len() as u64,
            component_stride: std::mem::size_of::<$crate::abi::weft_component>() as u64,
        };
    };
}
