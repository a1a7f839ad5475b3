//! `#[udf]`: the type beside a function that implements `Udf`.

use crate::options::{Column, Options};
use crate::row::nest;
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Error, FnArg, GenericArgument, Ident, ItemFn, Lifetime, Pat, PathArguments, Result, ReturnType, Type,
    TypeParamBound,
};

pub fn expand(options: &Options, item: &ItemFn) -> Result<TokenStream> {
    check(item)?;
    let shape = Shape::of(options, item)?;
    let name = &item.sig.ident;
    let visibility = &item.vis;
    let text = name.unraw().to_string();
    let inputs = describe_columns(&shape.parameters);
    let outputs = shape.outputs(&text);
    let keys = options.attributes.iter().map(|(key, _)| key);
    let values = options.attributes.iter().map(|(_, value)| value);
    let call = shape.call(name);
    Ok(quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types, dead_code)]
        #visibility struct #name {}

        const _: () = {
            use ::lockgate_sdk::__private::{self as __lockgate, Describe as _};

            impl ::lockgate_sdk::Udf for #name {
                fn describe() -> __lockgate::Function {
                    __lockgate::Function {
                        name: #text.to_owned(),
                        inputs: vec![__lockgate::Port::new("in", |__fields| { #inputs })],
                        outputs: vec![#outputs],
                        attributes: vec![#((#keys.to_owned(), #values.to_owned())),*],
                    }
                }

                fn call(
                    mut __batch: __lockgate::raw::Batch,
                ) -> ::std::result::Result<__lockgate::raw::Output, ::std::string::String> {
                    #call
                }
            }
        };
    })
}

/// What can be no function over columns, whatever its types.
fn check(item: &ItemFn) -> Result<()> {
    let signature = &item.sig;
    let refuse = |span: Span, message: &str| Err(Error::new(span, message));
    if let Some(asyncness) = signature.asyncness {
        return refuse(asyncness.span(), "a function over columns does no I/O and cannot be async");
    }
    if let Some(unsafety) = signature.unsafety {
        return refuse(unsafety.span(), "a function over columns cannot be unsafe");
    }
    if let Some(parameter) = signature.generics.params.iter().find(|p| !matches!(p, syn::GenericParam::Lifetime(_))) {
        return refuse(parameter.span(), "a function over columns has fixed types: it cannot be generic");
    }
    if let Some(variadic) = &signature.variadic {
        return refuse(variadic.span(), "a function over columns has a fixed number of parameters");
    }
    Ok(())
}

/// What the signature says.
struct Shape {
    parameters: Vec<Column>,
    form: Form,
}

enum Form {
    Map(Type),
    Filter(Type),
    FlatMap { item: Type, fallible: bool },
    Write { writer: Box<Type>, result: Type },
    Batch(Vec<(String, Vec<Column>)>),
}

impl Shape {
    fn of(options: &Options, item: &ItemFn) -> Result<Self> {
        let result = match &item.sig.output {
            ReturnType::Default => syn::parse_quote!(()),
            ReturnType::Type(_, ty) => plain(ty),
        };
        if options.batch {
            let copy = |columns: &[Column]| {
                columns.iter().map(|c| Column { name: c.name.clone(), ty: plain(&c.ty) }).collect::<Vec<_>>()
            };
            let outputs = options.outputs.iter().map(|(name, columns)| (name.clone(), copy(columns))).collect();
            let parameters = copy(options.input.as_deref().unwrap_or_default());
            return match item.sig.inputs.len() {
                1 => Ok(Self { parameters, form: Form::Batch(outputs) }),
                _ => Err(Error::new(item.sig.paren_token.span.join(), "a batch function has one parameter: &Batch")),
            };
        }
        let mut parameters = item.sig.inputs.iter().map(parameter).collect::<Result<Vec<_>>>()?;
        let writer = match parameters.pop_if(|last| written(&last.ty).is_some()) {
            Some(last) => written(&last.ty).cloned().map(Box::new),
            None => None,
        };
        if let Some(misplaced) = parameters.iter().find(|column| written(&column.ty).is_some()) {
            let message = "columns are read only; what a function writes into is its last parameter, \
                           `out: &mut TextWriter`";
            return Err(Error::new(misplaced.ty.span(), message));
        }
        let form = match (writer, options.filter) {
            (Some(_), _) if options.filter || options.flat_map => {
                return Err(Error::new(Span::call_site(), "a filter or flat_map cannot have a writer"));
            }
            (Some(writer), _) => Form::Write { writer, result },
            (None, true) => Form::Filter(result),
            (None, false) => Form::of(options, result)?,
        };
        Ok(Self { parameters, form })
    }

    /// The output ports.
    fn outputs(&self, name: &str) -> TokenStream {
        let fields = match &self.form {
            Form::Filter(_) => quote!(let _ = __fields;),
            Form::Map(result) => quote_spanned! {result.span()=>
                <<#result as __lockgate::Return>::Value as __lockgate::Describe>::fields(#name, __fields);
                __lockgate::mark_nullable(__fields, <#result as __lockgate::Return>::NULLABLE);
            },
            Form::FlatMap { item, .. } => quote_spanned! {item.span()=>
                <#item as __lockgate::Describe>::fields(#name, __fields);
            },
            Form::Write { writer, result } => quote_spanned! {writer.span()=>
                <#writer as __lockgate::Writer>::fields(#name, <#result as __lockgate::Written>::NULLABLE, __fields);
            },
            Form::Batch(outputs) => {
                let ports = outputs.iter().map(|(port, columns)| {
                    let fields = describe_columns(columns);
                    quote!(__lockgate::Port::new(#port, |__fields| { #fields }))
                });
                return quote!(#(#ports),*);
            }
        };
        quote!(__lockgate::Port::new("out", |__fields| { #fields }))
    }

    /// The loop over the batch.
    fn call(&self, name: &Ident) -> TokenStream {
        let arguments: Vec<Ident> = (0..self.parameters.len()).map(|index| format_ident!("__{index}")).collect();
        let types: Vec<&Type> = self.parameters.iter().map(|column| &column.ty).collect();
        let (pattern, list) = (nest(&arguments), nest(&types));
        let (function, parameters, extra) = match &self.form {
            Form::Batch(_) => {
                return quote! {
                    static DESCRIPTION: ::std::sync::LazyLock<__lockgate::Function> =
                        ::std::sync::LazyLock::new(<#name as ::lockgate_sdk::Udf>::describe);
                    let _ = &mut __batch;
                    __lockgate::call_batch(&__batch, &DESCRIPTION, |__batch| #name(__batch))
                };
            }
            Form::Map(result) => {
                let replace = match types.as_slice() {
                    [only] => quote! {
                        let mut __function = |__0| #name(__0);
                        if let Some(__output) =
                            __lockgate::replace::<#only, #result>(&mut __batch, &mut __function)
                        {
                            return Ok(__output);
                        }
                    },
                    _ => quote!(let _ = &mut __batch;),
                };
                return quote! {
                    #replace
                    __lockgate::map::<#list, #result>(&__batch, |#pattern| #name(#(#arguments),*))
                };
            }
            Form::Filter(result) => (quote!(filter), quote!(#list, #result), None),
            Form::FlatMap { fallible: false, .. } => (quote!(flat_map), quote!(#list, _), None),
            Form::FlatMap { fallible: true, .. } => (quote!(try_flat_map), quote!(#list, _, _), None),
            Form::Write { writer, result } => (quote!(write), quote!(#list, #writer, #result), Some(quote!(__out))),
        };
        let closure = match extra {
            Some(out) => quote!(|#pattern, #out| #name(#(#arguments,)* #out)),
            None => quote!(|#pattern| #name(#(#arguments),*)),
        };
        quote! {
            let _ = &mut __batch;
            __lockgate::#function::<#parameters>(&__batch, #closure)
        }
    }
}

impl Form {
    /// The form that the result's type says.
    fn of(options: &Options, result: Type) -> Result<Self> {
        let (inner, fallible) = match last_argument(&result, "Result", 0) {
            Some(inner) => (inner, true),
            None => (&result, false),
        };
        if let Some(item) = item(inner) {
            return Ok(Self::FlatMap { item, fallible });
        }
        if options.flat_map {
            return Ok(Self::FlatMap {
                item: syn::parse_quote!(<#inner as ::std::iter::IntoIterator>::Item),
                fallible,
            });
        }
        match &result {
            Type::Tuple(tuple) if tuple.elems.is_empty() => Err(Error::new(
                Span::call_site(),
                "a function over columns has a result or writes into a last parameter",
            )),
            Type::ImplTrait(other) => {
                Err(Error::new(other.span(), "of `impl` types a result can be `impl Iterator<Item = …>` only"))
            }
            _ => Ok(Self::Map(result)),
        }
    }
}

/// What an iterator or a `Vec` of anything but bytes is made of.
fn item(ty: &Type) -> Option<Type> {
    let bounds = match ty {
        Type::ImplTrait(ty) => &ty.bounds,
        Type::TraitObject(ty) => &ty.bounds,
        _ => {
            if let Some(item) = last_argument(ty, "Vec", 0) {
                return if is_u8(item) { None } else { Some(item.clone()) };
            }
            return last_argument(ty, "Box", 0).and_then(item);
        }
    };
    bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => match &bound.path.segments.last()?.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::AssocType(argument) if argument.ident == "Item" => Some(argument.ty.clone()),
                _ => None,
            }),
            _ => None,
        },
        _ => None,
    })
}

fn is_u8(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.is_ident("u8"))
}

/// The type argument at `index` of a path that ends with `name`.
fn last_argument<'a>(ty: &'a Type, name: &str, index: usize) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.iter().nth(index)? {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    }
}

/// The writer's type, if `ty` is a mutable reference.
fn written(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => Some(&reference.elem),
        _ => None,
    }
}

fn parameter(argument: &FnArg) -> Result<Column> {
    let argument = match argument {
        FnArg::Typed(argument) => argument,
        FnArg::Receiver(receiver) => {
            return Err(Error::new(receiver.span(), "a function over columns stands outside of an impl"));
        }
    };
    match (&*argument.pat, &*argument.ty) {
        (_, Type::ImplTrait(ty)) => Err(Error::new(ty.span(), "a parameter is a column and needs a fixed type")),
        (Pat::Ident(pattern), ty) if pattern.subpat.is_none() => {
            Ok(Column { name: pattern.ident.clone(), ty: plain(ty) })
        }
        (pattern, _) => Err(Error::new(pattern.span(), "a parameter needs a name, which is its column's")),
    }
}

/// Calls that add the fields of `columns`.
fn describe_columns(columns: &[Column]) -> TokenStream {
    if columns.is_empty() {
        return quote!(let _ = __fields;);
    }
    let fields = columns.iter().map(|Column { name, ty }| {
        let name = name.unraw().to_string();
        quote_spanned!(ty.span()=> <#ty as __lockgate::Describe>::fields(#name, __fields);)
    });
    quote!(#(#fields)*)
}

/// `ty` with every lifetime inferred: outside of the signature its names mean nothing.
fn plain(ty: &Type) -> Type {
    struct Inferred;
    impl VisitMut for Inferred {
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            *lifetime = Lifetime::new("'_", lifetime.span());
        }
    }
    let mut ty = ty.clone();
    visit_mut::visit_type_mut(&mut Inferred, &mut ty);
    ty
}
