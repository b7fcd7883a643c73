//! An objective as a trait, and the C tables around it.

use std::os::raw::{c_char, c_void};

use crate::abi::*;
use crate::boundary::*;
use crate::json::Json;

pub enum Direction {
    #[allow(dead_code)]
    Maximize = 1,
    Minimize = -1,
}

pub trait Objective: Sized {
    fn new(context: &Context) -> Result<Self, Failure>;
    fn direction(&self) -> Direction;
    /// The value as far as the candidate alone tells it.
    fn before(&self, candidate: &Json) -> Result<Option<f64>, Failure>;
    /// The value from an evaluation's metrics, an object of numbers; asked where `before` did not know.
    fn after(&self, _metrics: &Json) -> Result<f64, Failure> {
        Err(Failure::failed("this objective is not measured by an evaluation"))
    }
}

unsafe extern "C" fn create_objective<T: Objective>(
    context: *const weft_context,
    instance: *mut *mut c_void,
    error: *const weft_writer,
) -> weft_status {
    create(context, instance, error, |context| T::new(context))
}

unsafe extern "C" fn direction<T: Objective>(
    this: *mut c_void,
    out: *mut i32,
    error: *const weft_writer,
) -> weft_status {
    guard(error, || {
        *out = (*(this as *mut T)).direction() as i32;
        Ok(())
    })
}

unsafe extern "C" fn before<T: Objective>(
    this: *mut c_void,
    candidate: weft_text,
    value: *mut f64,
    known: *mut i32,
    error: *const weft_writer,
) -> weft_status {
    guard(error, || {
        let found = (*(this as *mut T)).before(&parse(candidate)?)?;
        *known = i32::from(found.is_some());
        *value = found.unwrap_or(0.0);
        Ok(())
    })
}

unsafe extern "C" fn after<T: Objective>(
    this: *mut c_void,
    metrics: weft_text,
    value: *mut f64,
    error: *const weft_writer,
) -> weft_status {
    guard(error, || {
        *value = (*(this as *mut T)).after(&parse(metrics)?)?;
        Ok(())
    })
}

struct Tables<T>(std::marker::PhantomData<T>);

impl<T: Objective> Tables<T> {
    const OBJECTIVE: weft_objective_1 = weft_objective_1 {
        size: std::mem::size_of::<weft_objective_1>() as u64,
        direction: Some(direction::<T>),
        before: Some(before::<T>),
        after: Some(after::<T>),
        range: None, // has no bounds that it could name
    };
}

unsafe extern "C" fn find_interface<T: Objective>(id: *const c_char) -> *const c_void {
    if is(id, WEFT_OBJECTIVE_1) {
        return &Tables::<T>::OBJECTIVE as *const weft_objective_1 as *const c_void;
    }
    std::ptr::null()
}

/// `name` ends in a zero byte.
pub const fn component<T: Objective>(name: &'static str) -> weft_component {
    weft_component {
        size: std::mem::size_of::<weft_component>() as u64,
        kind: "objective\0".as_ptr() as *const c_char,
        name: name.as_ptr() as *const c_char,
        create: Some(create_objective::<T>),
        destroy: Some(destroy::<T>),
        find_interface: Some(find_interface::<T>),
    }
}
