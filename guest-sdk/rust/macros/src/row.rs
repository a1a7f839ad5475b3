//! `#[derive(Row)]`: a struct whose fields are columns.

use crate::options::FieldOptions;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Ident, Lifetime, Result, Type};

pub fn expand(item: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &item.data else {
        return Err(Error::new(item.ident.span(), "a row is a struct with named fields"));
    };
    let Fields::Named(named) = &data.fields else {
        return Err(Error::new(item.ident.span(), "a row is a struct with named fields: they name its columns"));
    };
    let lifetime = lifetime(item)?;
    let name = &item.ident;
    let names: Vec<&Ident> = named.named.iter().filter_map(|field| field.ident.as_ref()).collect();
    let types: Vec<&Type> = named.named.iter().map(|field| &field.ty).collect();
    let mut describe = Vec::new();
    for (field, ident) in named.named.iter().zip(&names) {
        let options = FieldOptions::of(&field.attrs)?;
        let column = options.name.map_or_else(|| ident.unraw().to_string(), |name| name.value());
        let ty = &field.ty;
        describe.push(quote_spanned!(ty.span()=> <#ty as Describe>::fields(#column, fields);));
        for (key, value) in &options.attributes {
            describe.push(quote!(::lockgate_sdk::__private::attribute(fields, #key, #value);));
        }
    }
    let parts = nest(&types);
    let pattern = nest(&names);
    let values = nest(&names.iter().map(|name| quote!(self.#name)).collect::<Vec<_>>());
    let (impl_generics, type_generics, _) = item.generics.split_for_impl();
    let batch = lifetime.unwrap_or_else(|| Lifetime::new("'__batch", name.span()));
    // Text that lives for ever cannot be borrowed from a batch: such a row is a result only.
    let read = (!types.iter().any(|ty| is_static(ty))).then(|| {
        quote! {
            impl<#batch> Argument<#batch> for #name #type_generics {
                type Reader = <#parts as Argument<#batch>>::Reader;

                #[inline]
                fn open(inputs: &mut Inputs<#batch>) -> ::std::result::Result<Self::Reader, ::std::string::String> {
                    <#parts as Argument<#batch>>::open(inputs)
                }

                #[inline(always)]
                fn read(reader: &Self::Reader, row: usize) -> Self {
                    let #pattern = <#parts as Argument<#batch>>::read(reader, row);
                    Self { #(#names),* }
                }
            }
        }
    });
    Ok(quote! {
        const _: () = {
            #[allow(unused_imports)]
            use ::lockgate_sdk::__private::{Argument, Describe, Emit, Field, Inputs, Outcome, Return};

            impl #impl_generics Describe for #name #type_generics {
                fn fields(_name: &str, fields: &mut ::std::vec::Vec<Field>) {
                    #(#describe)*
                }
            }

            impl #impl_generics Emit for #name #type_generics {
                type Builder = <#parts as Emit>::Builder;

                const ROW: bool = true;

                #[inline(always)]
                fn emit(self, builder: &mut Self::Builder) {
                    Emit::emit(#values, builder);
                }
            }

            impl #impl_generics Return for #name #type_generics {
                type Value = Self;

                const TOTAL: bool = true;

                #[inline(always)]
                fn outcome(self) -> Outcome<Self> {
                    Outcome::Value(self)
                }
            }

            #read
        };
    })
}

/// `(a, (b, (c, ())))`.
pub fn nest(parts: &[impl quote::ToTokens]) -> TokenStream {
    parts.iter().rev().fold(quote!(()), |rest, part| quote!((#part, #rest)))
}

/// The struct's only generic parameter, if it has one: the lifetime of what it borrows from the batch.
fn lifetime(item: &DeriveInput) -> Result<Option<Lifetime>> {
    let mut parameters = item.generics.params.iter();
    match (parameters.next(), parameters.next()) {
        (None, _) => Ok(None),
        (Some(GenericParam::Lifetime(parameter)), None) => Ok(Some(parameter.lifetime.clone())),
        _ => Err(Error::new(item.generics.span(), "a row has no generic parameters but one lifetime")),
    }
}

/// Whether `ty` mentions `'static`.
fn is_static(ty: &Type) -> bool {
    struct Statics(bool);
    impl VisitMut for Statics {
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            self.0 |= lifetime.ident == "static";
        }
    }
    let mut statics = Statics(false);
    statics.visit_type_mut(&mut ty.clone());
    statics.0
}
