//! Both sides of a call: texts that are lent, failures in words, and that no panic crosses.
#![allow(dead_code)]

use std::any::Any;
use std::os::raw::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};

use crate::abi::*;
use crate::json::Json;

/// Why a call failed: what the host tells the user.
#[derive(Debug)]
pub struct Failure {
    pub status: weft_status,
    pub words: String,
}

impl Failure {
    /// The caller gave something unusable.
    pub fn invalid(words: impl Into<String>) -> Failure {
        Failure { status: WEFT_INVALID, words: words.into() }
    }

    /// Anything else.
    pub fn failed(words: impl Into<String>) -> Failure {
        Failure { status: WEFT_FAILED, words: words.into() }
    }
}

pub fn lend(text: &str) -> weft_text {
    weft_text { data: text.as_ptr() as *const c_char, size: text.len() as u64 }
}

/// The bytes are lent for the duration of the call; so is the result.
pub unsafe fn bytes<'a>(text: weft_text) -> &'a [u8] {
    slice(text.data as *const u8, text.size)
}

/// A list that is lent; where it is empty the pointer may be null.
pub unsafe fn slice<'a, T>(data: *const T, count: u64) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    std::slice::from_raw_parts(data, count as usize)
}

pub unsafe fn parse(text: weft_text) -> Result<Json, Failure> {
    let text = std::str::from_utf8(bytes(text)).map_err(|_| Failure::invalid("text that is no UTF-8"))?;
    Json::parse(text).ok_or_else(|| Failure::invalid("text that is no JSON"))
}

/// Runs a function of a table: what it returns as a failure, or panics with, becomes a status and words.
pub unsafe fn guard(error: *const weft_writer, body: impl FnOnce() -> Result<(), Failure>) -> weft_status {
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(Failure::failed(words_of(&*panic))));
    match outcome {
        Ok(()) => WEFT_OK,
        Err(failure) => {
            if let Some(write) = error.as_ref().and_then(|writer| writer.write) {
                write((*error).context, failure.words.as_ptr() as *const c_char, failure.words.len() as u64);
            }
            failure.status
        }
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_string())
}

/// Calls a function of another component: `call` is handed the writer of its words.
pub fn check(call: impl FnOnce(*const weft_writer) -> weft_status) -> Result<(), Failure> {
    unsafe extern "C" fn append(context: *mut c_void, data: *const c_char, size: u64) {
        (*(context as *mut Vec<u8>)).extend_from_slice(slice(data as *const u8, size));
    }
    let mut words: Vec<u8> = Vec::new();
    let writer = weft_writer { context: &mut words as *mut Vec<u8> as *mut c_void, write: Some(append) };
    match call(&writer) {
        WEFT_OK => Ok(()),
        status => Err(Failure { status, words: String::from_utf8_lossy(&words).into_owned() }),
    }
}

/// What an instance is created with.
pub struct Context<'a> {
    context: &'a weft_context,
    configuration: Json,
}

impl Context<'_> {
    /// A number of the plugin's `args`, which are valid against the manifest, with every default filled in.
    pub fn number(&self, name: &str) -> Result<f64, Failure> {
        let found = self.configuration.member(name).and_then(Json::number);
        found.ok_or_else(|| Failure::invalid(format!("/{} must be a number", name)))
    }

    /// The instance's own stream.
    pub fn rng(&self) -> weft_rng {
        self.context.rng
    }

    /// Another component of the pipeline, such as "space". The host owns it, and it outlives the instance.
    pub fn collaborator(&self, role: &str) -> Result<weft_handle, Failure> {
        let mut found = weft_handle { component: std::ptr::null(), instance: std::ptr::null_mut() };
        let ask = self.context.collaborator.ok_or_else(|| Failure::failed("the host has no collaborators"))?;
        check(|error| unsafe { ask(self.context.host, lend(role), &mut found, error) })?;
        Ok(found)
    }
}

/// The table of an interface of a component, or none. `id` ends in a zero byte.
pub unsafe fn find<'a, T>(handle: weft_handle, id: &str) -> Option<&'a T> {
    let find_interface = (*handle.component).find_interface?;
    (find_interface(id.as_ptr() as *const c_char) as *const T).as_ref()
}

/// The host's call of `create`.
pub unsafe fn create<T>(
    context: *const weft_context,
    instance: *mut *mut c_void,
    error: *const weft_writer,
    make: impl FnOnce(&Context) -> Result<T, Failure>,
) -> weft_status {
    guard(error, || {
        let context = &*context;
        let made = make(&Context { context, configuration: parse(context.configuration)? })?;
        *instance = Box::into_raw(Box::new(made)) as *mut c_void;
        Ok(())
    })
}

pub unsafe extern "C" fn destroy<T>(instance: *mut c_void) {
    drop(Box::from_raw(instance as *mut T));
}

/// Whether the host asks for this interface. `id` ends in a zero byte.
pub unsafe fn is(asked: *const c_char, id: &str) -> bool {
    std::ffi::CStr::from_ptr(asked).to_bytes_with_nul() == id.as_bytes()
}
